-- What a control room holds of its gateways. Times are timestamptz (UTC, milliseconds); a range's ends are its own.
-- One transaction, schema "meterseal" first in search_path. Order in which rows of several tables are locked: ranges
-- (by meter, epoch), batches, holes, alarms, days, gateways (by id), counters.

-- Who there is. Numbers stand for names, so that no name takes another's place; they are made before the rows that bear
-- them, in a transaction of their own (store/names.py), and never go.

CREATE TABLE gateways (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    heard timestamptz,                      -- when something of it that holds last came in
    newest timestamptz,                     -- the latest time of its records
    proven timestamptz,                     -- and of those in its proven batches
    clock "char",                           -- the letter of its clock in its newest record
    status jsonb,                           -- as it says itself, and since when it says so
    status_at timestamptz,
    records bigint NOT NULL DEFAULT 0,      -- since this database was made: new rows, and what added none
    repeated bigint NOT NULL DEFAULT 0,
    forked bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE meters (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway int NOT NULL REFERENCES gateways,
    name text COLLATE "C" NOT NULL,         -- "gateway": its own events
    configured jsonb,                       -- role, profile, period … by its gateway's newest event `configuration`
    configured_at timestamptz,
    UNIQUE (gateway, name)
);

CREATE TABLE epochs (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway int NOT NULL REFERENCES gateways,
    epoch bytea NOT NULL,
    UNIQUE (gateway, epoch)
);

-- Which numbers there are, for ever: what says whether a record is new after its row has gone.

CREATE TABLE ranges (
    meter int NOT NULL,
    epoch int NOT NULL,
    seqs int8multirange NOT NULL DEFAULT '{}',      -- numbers that came in
    sealed int8multirange NOT NULL DEFAULT '{}',    -- numbers that a statement counts
    archived int8multirange NOT NULL DEFAULT '{}',  -- numbers whose batch is proven and in the archive
    newest timestamptz,                             -- the latest time of its records, and of its readings
    newest_reading timestamptz,
    PRIMARY KEY (meter, epoch)
) WITH (fillfactor = 50);

-- Signed bytes, as long as they are not archived, and some days more; store/incoming/partitions.py makes the days.

CREATE TABLE records (
    time timestamptz NOT NULL,
    arrived timestamptz NOT NULL,
    seq bigint NOT NULL,
    place bigint,                           -- among the gateway's records: the order of a batch's leaves
    meter int NOT NULL,
    epoch int NOT NULL,
    kind "char" NOT NULL,                   -- r: reading, c: coverage, e: event
    hash bytea NOT NULL,                    -- SHA-256 of the bytes
    bytes bytea NOT NULL,
    PRIMARY KEY (meter, epoch, seq, time)
) PARTITION BY RANGE (time);
ALTER TABLE records ALTER bytes SET STORAGE EXTERNAL;  -- signatures do not compress
CREATE TABLE records_default PARTITION OF records DEFAULT;

-- Their values, a row a record (store/values.py reads and writes them).

CREATE TABLE readings (
    time timestamptz NOT NULL,
    seq bigint NOT NULL,
    meter int NOT NULL,
    epoch int NOT NULL,
    shape int NOT NULL,
    quality bigint[],                       -- NULL: all good; of one element: that of all
    num float8[] NOT NULL,                  -- NULL where there is no number; 0 and 1 for false and true
    rest jsonb                              -- text, numbers of more than 15 digits, times of their own
) PARTITION BY RANGE (time);
CREATE INDEX ON readings (meter, time);
CREATE TABLE readings_default PARTITION OF readings DEFAULT;

CREATE TABLE shapes (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    points bytea NOT NULL,                  -- SHA-256 of names and units
    names text[] NOT NULL,
    units text[] NOT NULL,                  -- "": none
    decimals smallint[] NOT NULL,           -- as recorded; 100: a float, 101: true or false, 102: no number
    UNIQUE (points, decimals)
);

-- By the hour of record time, element by element of num, made behind (store/incoming/hours.py).

CREATE TABLE hours (
    meter int NOT NULL,
    hour timestamptz NOT NULL,
    shape int NOT NULL,
    readings int NOT NULL,
    bits bigint[] NOT NULL,                 -- of the quality of all of them
    n int[] NOT NULL,                       -- numbers of each value that may be used, and those of them
    first float8[] NOT NULL,
    last float8[] NOT NULL,
    low float8[] NOT NULL,
    high float8[] NOT NULL,
    sum float8[] NOT NULL,
    PRIMARY KEY (meter, hour, shape)
);
CREATE TABLE hours_due (
    meter int NOT NULL,
    hour timestamptz NOT NULL,
    PRIMARY KEY (meter, hour)
);
CREATE TABLE hours_to (at timestamptz NOT NULL);  -- one row: every hour before is made, but those that are due
INSERT INTO hours_to VALUES (date_trunc('hour', now()));  -- what is older becomes due when it comes in

-- What was due, as signed; days add up, by UTC day, the coverage that ended in it.

CREATE TABLE coverage (
    meter int NOT NULL,
    epoch int NOT NULL,
    seq bigint NOT NULL,
    from_at timestamptz NOT NULL,
    to_at timestamptz NOT NULL,
    due bigint NOT NULL,
    recorded bigint NOT NULL,
    missed jsonb NOT NULL,                  -- reason: polls
    PRIMARY KEY (meter, epoch, seq, to_at)
) PARTITION BY RANGE (to_at);
CREATE TABLE coverage_default PARTITION OF coverage DEFAULT;
CREATE INDEX ON coverage (meter, to_at);
CREATE TABLE days (
    gateway int NOT NULL,
    day date NOT NULL,
    due bigint NOT NULL,
    recorded bigint NOT NULL,
    PRIMARY KEY (gateway, day)
);

-- What must be there.

CREATE TABLE batches (
    gateway int NOT NULL REFERENCES gateways,
    batch bigint NOT NULL,
    statement_id bytea NOT NULL,
    entry bytea NOT NULL,
    receipts bytea[] NOT NULL DEFAULT '{}',
    anchors bytea[] NOT NULL DEFAULT '{}',
    from_at timestamptz NOT NULL,
    to_at timestamptz NOT NULL,
    size bigint NOT NULL,
    iat timestamptz NOT NULL,
    arrived timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'complete', 'proven')),
    why jsonb,                              -- what it lacks, or what is to be seen of it, as a message
    alarm text,                             -- the kind of alarm that this belongs to
    counted boolean NOT NULL DEFAULT false, -- its numbers stand in ranges.sealed
    unsure boolean NOT NULL DEFAULT false,  -- numbers before it may be in a batch that is missing
    look timestamptz,                       -- when it is looked at next (store/statements.py); NULL: when news come in
    proven_at timestamptz,
    file text,                              -- below the archive
    PRIMARY KEY (gateway, batch, statement_id)  -- two under one number: the gateway equivocates
);
CREATE INDEX ON batches (gateway, batch) WHERE state <> 'proven';
CREATE INDEX ON batches (gateway, to_at);
CREATE INDEX ON batches (look) WHERE look IS NOT NULL;
CREATE INDEX ON batches (gateway, alarm, batch) WHERE alarm IS NOT NULL;
CREATE INDEX ON batches (gateway, batch) WHERE NOT counted;
CREATE INDEX ON batches (gateway) WHERE unsure;

CREATE TABLE holes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway int NOT NULL REFERENCES gateways,
    meter int,                              -- of records: meter, epoch, seqs and the batch that says so
    epoch int,
    seqs int8multirange,
    batch bigint,
    places boolean NOT NULL DEFAULT false,  -- they are there, and their order does not give the root of the batch
    batches int8multirange,                 -- of batches: their numbers
    since timestamptz NOT NULL,
    asked int NOT NULL DEFAULT 0,           -- so many times, last at asked_at
    asked_at timestamptz,
    next_ask timestamptz NOT NULL,
    gone text,                              -- why the gateway cannot send it
    closed timestamptz,
    noticed boolean NOT NULL DEFAULT true   -- false: records have closed it, and its batch is to be looked at
);
CREATE INDEX ON holes (gateway, batch) WHERE closed IS NULL;
CREATE INDEX ON holes (meter, epoch) WHERE closed IS NULL;
CREATE INDEX ON holes (next_ask) WHERE closed IS NULL;
CREATE INDEX ON holes (gateway, batch) WHERE places;
CREATE INDEX ON holes (closed) WHERE closed IS NOT NULL;
CREATE INDEX ON holes (id) WHERE NOT noticed;

-- What was not believed.

CREATE TABLE refused (                      -- the newest 10,000
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    topic text NOT NULL,
    gateway text NOT NULL,                  -- of the topic; it may be unknown
    step int NOT NULL,
    why jsonb NOT NULL,                     -- a message
    kid bytea,                              -- refused for its key, and to be judged again with another trust file
    size int NOT NULL,                      -- of the message
    bytes bytea NOT NULL,                   -- of it, 64 KiB at most
    hash bytea NOT NULL UNIQUE              -- of topic and message
);
CREATE INDEX ON refused (gateway, id);
CREATE INDEX ON refused (id) WHERE kid IS NOT NULL;

CREATE TABLE forks (                        -- other bytes under a number that was there
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    gateway int NOT NULL,
    meter int NOT NULL,
    epoch int NOT NULL,
    seq bigint NOT NULL,
    time timestamptz NOT NULL,
    hash bytea NOT NULL,
    bytes bytea NOT NULL,
    UNIQUE (meter, epoch, seq, hash)
);
CREATE INDEX ON forks (gateway, id);

CREATE TABLE alarms (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    gateway int REFERENCES gateways,        -- NULL: of the control room as a whole
    source text NOT NULL,                   -- gateway: an alarm of its own; control: raised here
    meter text NOT NULL DEFAULT '',         -- of a gateway's alarm: whose chain it stands in
    code text NOT NULL,
    line text NOT NULL DEFAULT '',
    text text NOT NULL,                     -- in English
    message jsonb,                          -- what that was made of, where it is known
    since timestamptz,                      -- the condition is true
    raised timestamptz,                     -- NULL: only its end came in
    cleared timestamptz,
    acked timestamptz,                      -- here
    acked_by text,
    acked_note text
);
CREATE UNIQUE INDEX alarms_open ON alarms (gateway, source, meter, code, line) NULLS NOT DISTINCT WHERE cleared IS NULL;
CREATE INDEX ON alarms (gateway, source, meter, code, line, raised);
CREATE INDEX ON alarms (raised);
CREATE INDEX ON alarms (id) WHERE acked IS NULL OR cleared IS NULL;

CREATE TABLE counters (                     -- of what belongs to no gateway that is known: refused
    name text PRIMARY KEY,
    n bigint NOT NULL
);

-- Who receives. What a receiver stored last is part of each portion's transaction (store/incoming/receivers.py).

CREATE TABLE receivers (
    name text PRIMARY KEY,                  -- of its machine, and a number
    seen timestamptz,                       -- NULL: it has ended
    pending bigint NOT NULL DEFAULT 0,      -- messages that wait at the broker, and that it holds
    held bigint NOT NULL DEFAULT 0,
    trouble jsonb,                          -- a message
    consumer timestamptz,                   -- when its consumer was made, and the latest delivery that it stored
    delivered bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- Which database this is, so that its consumer fills no other.

CREATE TABLE room (id uuid NOT NULL DEFAULT gen_random_uuid());
INSERT INTO room DEFAULT VALUES;
