"""Factor codes of HJ/T 212-2005 and the codes of 2017 for the same quantities (HJ 212-2017, table B.2).

A code of 2017 is a letter and five digits, so no code is both. Codes that are not listed stay as they are, but for
capitals: loggers write ``A21026``, and mean a21026. Places that differ in that alone are one place.
"""

from __future__ import annotations

CODES_2017 = {
    "B02": "a00000",  # waste gas flow
    "37": "a01010",  # Ringelmann blackness
    "S02": "a01011",  # stack gas velocity
    "S03": "a01012",  # stack gas temperature
    "S08": "a01013",  # stack gas (static) pressure
    "S05": "a01014",  # stack gas humidity
    "S06": "a01015",  # cooler temperature
    "S07": "a01016",  # duct cross-section
    "S04": "a01017",  # stack gas dynamic pressure
    "30": "a05001",  # carbon dioxide CO2
    "S01": "a19001",  # oxygen content
    "31": "a20057",  # mercury and compounds
    "10": "a21001",  # ammonia
    "03": "a21002",  # nitrogen oxides NOx
    "04": "a21005",  # carbon monoxide CO
    "06": "a21018",  # fluorides
    "08": "a21024",  # hydrogen chloride HCl
    "02": "a21026",  # sulphur dioxide SO2
    "01": "a34013",  # smoke dust (PM)
}


_CODES = {old.lower(): code for old, code in CODES_2017.items()}


def current(place: str) -> str:
    """A place such as ``02-Rtd`` or ``A21026-Rtd`` under its code of 2017 in small letters, ``a21026-Rtd``. An item
    that stands alone, such as ``DataTime``, has no code."""
    code, dash, suffix = place.partition("-")
    return f"{_CODES.get(code.lower(), code.lower())}{dash}{suffix}" if dash else place
