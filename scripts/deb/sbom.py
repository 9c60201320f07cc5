"""The bill of materials beside the package: CycloneDX 1.6, every library with version, licence, source and hash."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import Distribution, distributions
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement

from scripts.deb.tree import Label, Unfit


def bill(site_packages: Path, wheels: Path, name: Label, epoch_s: int) -> str:
    """What stands in ``site_packages``, each with the SHA-256 of the wheel that it came in. Raises Unfit."""
    found = {_key(d.metadata["Name"]): d for d in distributions(path=[str(site_packages)])}
    hashes = {_key(p.name.split("-")[0]): hashlib.sha256(p.read_bytes()).hexdigest() for p in wheels.glob("*.whl")}
    if found.keys() != hashes.keys():
        raise Unfit(f"installed and delivered differ: {sorted(found.keys() ^ hashes.keys())}")
    components = {key: _component(d, hashes[key]) for key, d in found.items()}
    bom = Bom(serial_number=uuid5(NAMESPACE_URL, f"meterseal:{name.file}:{sorted(hashes.items())}"))
    bom.metadata.timestamp = datetime.fromtimestamp(epoch_s, UTC)
    product = components.pop("meterseal")
    product.type = ComponentType.APPLICATION
    product.properties.add(Property(name="meterseal:package", value=name.file))
    bom.metadata.component = product
    for component in components.values():
        bom.components.add(component)
    known = {"meterseal": product, **components}
    for key, distribution in found.items():
        bom.register_dependency(known[key], [known[other] for other in _requires(distribution, known)])
    text: str = JsonV1Dot6(bom).output_as_string(indent=2)
    if errors := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise Unfit(f"the bill of materials is not valid: {errors}")
    return text


def _key(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _component(distribution: Distribution, sha256: str) -> Component:
    name, version = distribution.metadata["Name"], distribution.version
    purl = PackageURL("pypi", None, _key(name), version)
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=purl.to_string(),
        purl=purl,
        licenses=_licences(distribution),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=sha256)],
    )


def _licences(distribution: Distribution) -> list[License]:
    """As the library says it: its expression, else its field, else its classifiers."""
    metadata, factory = distribution.metadata, LicenseFactory()
    if "License-Expression" in metadata:
        return [factory.make_with_expression(metadata["License-Expression"])]
    if "License" in metadata and "\n" not in metadata["License"]:
        return [factory.make_from_string(metadata["License"])]
    named = [c.split(" :: ")[-1] for c in metadata.get_all("Classifier") or [] if c.startswith("License :: ")]
    return [factory.make_with_name(text) for text in named]


def _requires(distribution: Distribution, known: Mapping[str, Component]) -> list[str]:
    """Of what it may require, with whatever extra, that which is there."""
    names = [_key(Requirement(text).name) for text in distribution.requires or []]
    return sorted({name for name in names if name in known and name != _key(distribution.metadata["Name"])})
