"""Exception hierarchy of the control room.

ControlRoomError             root; its text says what, where and the fix
├── IntakeError              the broker cannot be used
│   ├── NoStream                 … it has no stream of MQTT messages yet, since no MQTT client ever connected
│   └── OtherDatabase            … the consumer of this name fills another database
├── ArchiveError             a file of the archive cannot be written or read: the machine's fault
│   └── ArchiveOther             … its name bears another statement: the gateway's fault
└── DatabaseError            PostgreSQL cannot be used: the machine's fault, or its operator's
    ├── DatabaseAway         … there is no connection, or it broke: what was not committed is done again
    ├── DatabaseFull         … there is no space left: wait
    ├── DatabaseBusy         … a deadlock, a lock or a time limit: the whole transaction again
    ├── SchemaNewer          … a newer version of this program made its schema
    └── Unstorable           … it refuses what it was given: the same transaction never goes through
"""

from __future__ import annotations

from gateway.errors import GatewayError, StoreError


class ControlRoomError(GatewayError):
    """Refusal or failure that the operator reads in place of what was asked: what, where, the fix."""


class IntakeError(ControlRoomError):
    """The broker cannot be reached, or does not allow what is needed."""


class NoStream(IntakeError):
    """The broker has no ``$MQTT_msgs`` yet."""


class OtherDatabase(IntakeError):
    """The consumer belongs to another control room of the same name: each of both would get a part."""


class ArchiveError(ControlRoomError):
    """A file of the archive cannot be written or read."""


class ArchiveOther(ArchiveError):
    """The name of a batch in the archive bears another statement of its gateway, which is kept."""


class DatabaseError(ControlRoomError, StoreError):
    """PostgreSQL failed; nothing of the transaction was kept."""


class DatabaseAway(DatabaseError):
    """No connection, or it broke. Whether a transaction was kept whose COMMIT got no answer is not known."""


class DatabaseFull(DatabaseError):
    """No space left for the database."""


class DatabaseBusy(DatabaseError):
    """Others hold what the transaction needs, or it took too long; it may go through when it is begun again."""


class SchemaNewer(DatabaseError):
    """The schema was made by a newer version of this program, whose rows this one may not understand."""


class Unstorable(DatabaseError):
    """PostgreSQL refuses the content of a transaction, which fails again however often it is begun."""
