"""Sparkplug B payloads: the protobuf messages that a node needs (Sparkplug 3.0, chapter 6).

The message classes are built from a descriptor that is written down here: names are ours to choose, field numbers and
types are the specification's. Fields that are not listed are skipped by whoever reads with these.
"""

from __future__ import annotations

from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

_TYPES: Final = descriptor_pb2.FieldDescriptorProto
_U32, _U64, _FLOAT, _DOUBLE = _TYPES.TYPE_UINT32, _TYPES.TYPE_UINT64, _TYPES.TYPE_FLOAT, _TYPES.TYPE_DOUBLE
_BOOL, _STRING, _BYTES, _MESSAGE = _TYPES.TYPE_BOOL, _TYPES.TYPE_STRING, _TYPES.TYPE_BYTES, _TYPES.TYPE_MESSAGE
_PACKAGE: Final = "meterseal.sparkplug"
LONGEST: Final = 1024
"""Bytes of a command or a STATE message. Half a megabyte of empty metrics would keep the event loop, and so the meters,
waiting for a third of a second."""

_FIELDS: Final = {
    "PropertyValue": {
        "type": (1, _U32), "is_null": (2, _BOOL), "int_value": (3, _U32), "long_value": (4, _U64),
        "float_value": (5, _FLOAT), "double_value": (6, _DOUBLE), "boolean_value": (7, _BOOL),
        "string_value": (8, _STRING),
    },
    "PropertySet": {"keys": (1, _STRING), "values": (2, _MESSAGE)},
    "Metric": {
        "name": (1, _STRING), "alias": (2, _U64), "timestamp": (3, _U64), "datatype": (4, _U32),
        "is_historical": (5, _BOOL), "is_transient": (6, _BOOL), "is_null": (7, _BOOL), "properties": (9, _MESSAGE),
        "int_value": (10, _U32), "long_value": (11, _U64), "float_value": (12, _FLOAT), "double_value": (13, _DOUBLE),
        "boolean_value": (14, _BOOL), "string_value": (15, _STRING), "bytes_value": (16, _BYTES),
    },
    "Payload": {
        "timestamp": (1, _U64), "metrics": (2, _MESSAGE), "seq": (3, _U64), "uuid": (4, _STRING), "body": (5, _BYTES),
    },
}  # fmt: skip
_INNER: Final = {
    ("PropertySet", "values"): "PropertyValue",
    ("Metric", "properties"): "PropertySet",
    ("Payload", "metrics"): "Metric",
}
_REPEATED: Final = {("PropertySet", "keys"), ("PropertySet", "values"), ("Payload", "metrics")}


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="meterseal-sparkplug", package=_PACKAGE, syntax="proto2")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        message.oneof_decl.add(name="value")
        for field, (number, type_) in fields.items():
            repeated = (name, field) in _REPEATED
            made = message.field.add(name=field, number=number, type=type_)
            made.label = _TYPES.LABEL_REPEATED if repeated else _TYPES.LABEL_OPTIONAL
            if (name, field) in _INNER:
                made.type_name = f".{_PACKAGE}.{_INNER[name, field]}"
            if field.endswith("_value"):
                made.oneof_index = 0
        if not any(field.endswith("_value") for field in fields):
            del message.oneof_decl[:]
    return file


_pool = descriptor_pool.DescriptorPool()
_pool.Add(_file())


def _class(name: str) -> Any:
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


Payload, Metric, PropertySet = _class("Payload"), _class("Metric"), _class("PropertySet")


def parse(data: bytes) -> Any | None:
    """A payload that somebody sent; None: it is none."""
    try:
        return Payload.FromString(data)
    except DecodeError:
        return None
