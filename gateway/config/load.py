"""Reading of gateway.toml: the file and its profiles → the validated model, errors in the words of the file."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pydantic import ValidationError

from gateway.config.key_errors import closest, explain, not_toml
from gateway.config.model import TABLES, Config, Document
from gateway.devices.points import Profile, ProfileError
from gateway.devices.profile import load_profile
from gateway.errors import ConfigError
from ledger_client.text_file import UTF8, NotText, NotToml, text_of, toml_of


def load_config(path: Path | str) -> Config:
    """Read and validate a gateway.toml with the profiles that it names.

    Raises ConfigError: unreadable, not TOML, unknown key, wrong type or value, duplicate, profile that does not exist.
    """
    path = Path(path)
    try:
        raw = toml_of(text_of(path.read_bytes()))
    except FileNotFoundError:
        raise ConfigError(path, "", "there is no such file", "make one with: meterseal init DIR") from None
    except IsADirectoryError:
        raise ConfigError(path, "", "is a folder", f"give the file in it: {path / 'gateway.toml'}") from None
    except NotADirectoryError:
        raise ConfigError(path.parent, "", "is a file, not a folder", "give the path of a gateway.toml") from None
    except OSError as error:
        raise ConfigError(path, "", f"cannot be read: {error}", "check the path and its permissions") from None
    except NotText as error:
        raise ConfigError(path, "", error.problem, UTF8) from None
    except NotToml as error:
        raise not_toml(path, error) from None
    try:
        document = Document.model_validate(raw)
    except ValidationError as error:
        raise explain(path, raw, error, Document, TABLES) from None
    return Config(path, document, _profiles(path, document), raw)


def _profiles(path: Path, document: Document) -> dict[str, Profile]:
    profiles = {}
    read = cache(lambda ref: load_profile(ref, path.parent))  # a hundred meters of one kind share what is known of it
    for bus in document.bus:
        for meter in bus.meter:
            key = f"bus {bus.name!r}, meter {meter.name!r}, profile"
            try:
                profile = read(meter.profile)
            except ProfileError as error:
                raise ConfigError(path, key, error.said) from None
            for factor in sorted(profile.factors):
                if getattr(meter, factor) is None:
                    raise ConfigError(
                        path,
                        key.replace("profile", factor),
                        f"is missing: {profile.name} multiplies by the {factor.upper()} ratio",
                        f"add {factor} = RATIO, as on the transformer's plate (1 if there is none)",
                    )
            if meter.sleeps is not None and not profile.may_sleep:
                raise ConfigError(
                    path,
                    key.replace("profile", "sleeps"),
                    f"{profile.name} is the profile of a device that does not sleep: its silence is a fault",
                    "remove sleeps; or write may_sleep = true into a profile of your own, if the device does",
                )
            for factor in ("ct", "pt"):
                if getattr(meter, factor) is not None and factor not in profile.factors:
                    raise ConfigError(
                        path,
                        key.replace("profile", factor),
                        f"would change nothing: no point of {profile.name} is multiplied by it",
                        f"leave {factor} out: the meter shows primary values already, or has the ratio set; "
                        f'if it shows secondary values, add factor_from = ["{factor}"] to those points of its profile',
                    )
            known = {p.name for p in profile.points}
            for point in meter.points:
                if point not in known:
                    hint = closest(point, known)
                    raise ConfigError(
                        path, key, f"has no point {point!r}{hint}", f"see `meterseal profiles {profile.name}`"
                    )
            profiles[meter.name] = profile
    return profiles
