-- Texts that are used again and again: states, verdicts, ends, code paths, ids of groups.
CREATE TABLE text (id INTEGER PRIMARY KEY, body TEXT NOT NULL UNIQUE);

CREATE TABLE address (id INTEGER PRIMARY KEY, body TEXT NOT NULL UNIQUE);

CREATE TABLE process (
    id INTEGER PRIMARY KEY,
    body TEXT NOT NULL UNIQUE,
    pid INTEGER GENERATED ALWAYS AS (json_extract(body, '$.pid')) VIRTUAL,
    comm TEXT GENERATED ALWAYS AS (json_extract(body, '$.comm')) VIRTUAL,
    exe TEXT GENERATED ALWAYS AS (json_extract(body, '$.exe')) VIRTUAL,
    unit TEXT GENERATED ALWAYS AS (json_extract(body, '$.unit')) VIRTUAL
);

CREATE TABLE frame (
    id INTEGER PRIMARY KEY,
    body TEXT NOT NULL UNIQUE,
    function TEXT GENERATED ALWAYS AS (json_extract(body, '$.function')) VIRTUAL,
    module TEXT GENERATED ALWAYS AS (json_extract(body, '$.module')) VIRTUAL
);

-- body: {"frames":[frame.id, innermost first],"complete":bool}
CREATE TABLE stack (id INTEGER PRIMARY KEY, body TEXT NOT NULL UNIQUE);

CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    base INTEGER NOT NULL,
    host TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    version TEXT NOT NULL,
    probes TEXT NOT NULL,
    thresholds TEXT NOT NULL,
    recording_ns INTEGER NOT NULL,
    began_ns INTEGER NOT NULL,
    began_wall INTEGER NOT NULL,
    from_ns INTEGER NOT NULL,
    from_wall INTEGER NOT NULL,
    alive_ns INTEGER NOT NULL,
    alive_wall INTEGER NOT NULL,
    ended TEXT
);

CREATE TABLE clock (run INTEGER NOT NULL, at_ns INTEGER NOT NULL, at_wall INTEGER NOT NULL);

CREATE TABLE stay (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    socket INTEGER NOT NULL,
    state INTEGER NOT NULL,
    orphan INTEGER NOT NULL,
    netns INTEGER,
    local INTEGER NOT NULL,
    local_port INTEGER NOT NULL,
    remote INTEGER NOT NULL,
    remote_port INTEGER NOT NULL,
    since_ns INTEGER NOT NULL,
    since_wall INTEGER NOT NULL,
    earliest_ns INTEGER,
    exact INTEGER NOT NULL,
    until_ns INTEGER NOT NULL,
    until_wall INTEGER NOT NULL,
    ended_by INTEGER,
    reset_sent INTEGER,
    verdict INTEGER NOT NULL,
    confidence INTEGER NOT NULL,
    process INTEGER,
    holders TEXT,
    code INTEGER,
    stack INTEGER,
    opened INTEGER,
    threads INTEGER,
    held_by INTEGER,
    eof_read_wall INTEGER,
    -- What a later run could not see any more: {"reads":[…],"accepted":bool}
    memory TEXT,
    recv_queue INTEGER,
    send_queue INTEGER,
    path_read INTEGER,
    path_closed INTEGER,
    alerted INTEGER NOT NULL,
    alert_id TEXT
);

CREATE TABLE alert (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    stay INTEGER NOT NULL,
    at_wall INTEGER NOT NULL,
    group_id INTEGER NOT NULL,
    verdict INTEGER NOT NULL,
    threshold_ns INTEGER NOT NULL,
    ended_by INTEGER
);

CREATE TABLE grouped (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    group_id INTEGER NOT NULL,
    at_wall INTEGER NOT NULL,
    status INTEGER NOT NULL,
    state INTEGER NOT NULL,
    verdict INTEGER NOT NULL,
    process INTEGER,
    code INTEGER,
    members INTEGER NOT NULL,
    peak INTEGER NOT NULL,
    oldest_ns INTEGER NOT NULL,
    growth_per_min REAL,
    forecast TEXT
);

CREATE TABLE condition (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    name TEXT NOT NULL,
    rule TEXT NOT NULL,
    severity TEXT NOT NULL,
    at_wall INTEGER NOT NULL,
    firing INTEGER NOT NULL,
    measure TEXT NOT NULL,
    value REAL,
    bound REAL NOT NULL
);

CREATE TABLE interval (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    from_ns INTEGER NOT NULL,
    from_wall INTEGER NOT NULL,
    to_ns INTEGER NOT NULL,
    to_wall INTEGER NOT NULL,
    transitions TEXT NOT NULL,
    short TEXT NOT NULL,
    close_wait INTEGER NOT NULL,
    fin_wait2 INTEGER NOT NULL,
    closed INTEGER NOT NULL,
    lost_ring INTEGER NOT NULL,
    lost_recursion INTEGER,
    lost_deeds INTEGER NOT NULL,
    gaps INTEGER NOT NULL,
    repaired INTEGER NOT NULL
);

CREATE TABLE left_out (
    run INTEGER NOT NULL,
    from_wall INTEGER NOT NULL,
    to_wall INTEGER NOT NULL,
    kind TEXT NOT NULL,
    count INTEGER NOT NULL
);

-- For people: the stays with everything spelled out.
CREATE VIEW stays AS
SELECT
    stay.id,
    run.host,
    (SELECT body FROM text WHERE id = stay.state) AS state,
    (SELECT body FROM text WHERE id = stay.verdict) AS verdict,
    (SELECT comm FROM process WHERE id = stay.process) AS comm,
    (SELECT pid FROM process WHERE id = stay.process) AS pid,
    (SELECT body FROM address WHERE id = stay.local) AS local, local_port,
    (SELECT body FROM address WHERE id = stay.remote) AS remote, remote_port,
    strftime('%Y-%m-%dT%H:%M:%SZ', since_wall / 1000000000, 'unixepoch') AS since,
    (CASE WHEN ended_by IS NULL THEN run.alive_ns ELSE until_ns END - since_ns) / 1e9 AS seconds,
    exact,
    (SELECT body FROM text WHERE id = stay.ended_by) AS ended_by,
    (SELECT body FROM text WHERE id = stay.code) AS code,
    alerted
FROM stay JOIN run ON run.id = stay.run;
