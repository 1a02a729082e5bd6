-- A bulkload ledger. Readable by any SQLite client in mid-run: SELECT * FROM results.
-- Times are UTC ISO 8601, sizes bytes, durations seconds.

CREATE TABLE meta (
    key TEXT PRIMARY KEY,      -- schema_version, registry (whom this ledger belongs to), endpoint, manifest,
                               -- conversion_seconds (of late, by kind; JSON)
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE runs (
    number INTEGER PRIMARY KEY, -- in the order in which they began, whatever the wall clock said
    run_id TEXT NOT NULL UNIQUE,
    started_at TEXT NOT NULL,
    finished_at TEXT,          -- NULL: at work, or killed
    exit_code INTEGER,
    summary TEXT               -- the summary object, JSON
);

-- One row an entry, with its current publication.
CREATE TABLE entries (
    id INTEGER PRIMARY KEY,
    entry_key TEXT NOT NULL UNIQUE,
    line INTEGER,              -- NULL: no longer in the manifest
    workspace_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    version_label TEXT,
    path TEXT NOT NULL,
    framework TEXT NOT NULL,
    spec TEXT NOT NULL,        -- the whole entry, JSON
    labels TEXT NOT NULL,

    state TEXT NOT NULL,
    -- The file as it was when this publication was planned or last opened.
    size INTEGER,
    mark TEXT,                 -- with the size: what tells this state of it from others; NULL: nothing does
    sha256 TEXT,               -- of the bytes sent, or found equal
    -- Intent: JSON list of the version ids that this model had before the first byte was sent.
    fence TEXT,
    sealed INTEGER NOT NULL DEFAULT 0,  -- 1: the last piece may have left
    retry_requested INTEGER NOT NULL DEFAULT 0, -- 1: planned anew by --retry-failed: one in error does not count
    version_id INTEGER,
    owned INTEGER NOT NULL DEFAULT 0,   -- 1: this ledger's upload made that version
    version_uuid TEXT,
    status TEXT,               -- the registry's word
    cause TEXT, message TEXT, logs TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    audit INTEGER NOT NULL DEFAULT 0,   -- 1: sent again; its model is listed once more before the run ends
    adopted INTEGER NOT NULL DEFAULT 0,
    uploaded_at TEXT, finished_at TEXT,
    upload_seconds REAL, convert_seconds REAL,
    run_id TEXT                -- the last run that moved it
);

-- One version, one owner: an answer with an id that is taken is not believed.
CREATE UNIQUE INDEX entries_owned_version ON entries (version_id) WHERE owned = 1;
CREATE INDEX entries_line ON entries (line);
-- Counts, and what is planned, without a look at the rows.
CREATE INDEX entries_state ON entries (state, line);
-- One upload in flight or in doubt per model, versions in manifest order.
CREATE INDEX entries_sending ON entries (workspace_id, name, state, line)
    WHERE state = 'planned' OR state = 'uploading' OR state = 'in_doubt';
-- What decides about sending again, held twice: an integrity check compares the index with the table, so that damage
-- to it shows. The other columns of that kind are in the indexes above and below.
CREATE INDEX entries_decisive ON entries (sealed, fence)
    WHERE state = 'uploading' OR state = 'in_doubt' OR state = 'uploaded';
CREATE INDEX entries_audit ON entries (id) WHERE audit = 1;
CREATE INDEX entries_model ON entries (workspace_id, name, sha256);

-- Publications that a newer one of the same entry replaced.
CREATE TABLE past_publications (
    entry_id INTEGER NOT NULL REFERENCES entries (id),
    state TEXT NOT NULL, size INTEGER, sha256 TEXT, version_id INTEGER, owned INTEGER NOT NULL, version_uuid TEXT,
    status TEXT, cause TEXT, message TEXT, logs TEXT, attempts INTEGER NOT NULL, adopted INTEGER NOT NULL,
    uploaded_at TEXT, finished_at TEXT, upload_seconds REAL, convert_seconds REAL, run_id TEXT
);
CREATE INDEX past_of_entry ON past_publications (entry_id);
CREATE UNIQUE INDEX past_owned_version ON past_publications (version_id) WHERE owned = 1;

-- Digests of files that were read whole and did not change meanwhile.
CREATE TABLE digests (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, mark TEXT NOT NULL, sha256 TEXT NOT NULL
) WITHOUT ROWID;

-- What the registry held of this manifest's models when the current run asked.
CREATE TABLE listing (
    version_id INTEGER PRIMARY KEY,
    workspace_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    size INTEGER,
    version TEXT NOT NULL      -- the version as the registry showed it, JSON
);
CREATE INDEX listing_model ON listing (workspace_id, name);

CREATE VIEW results AS
SELECT entry_key, line, name, workspace_id, version_label, path, framework, size, sha256, state, version_id,
       version_uuid, status, cause, message, logs, attempts, adopted, labels, uploaded_at, finished_at,
       upload_seconds, convert_seconds, run_id, json_extract(spec, '$.workspace') AS workspace,
       (SELECT value FROM meta WHERE key = 'registry') AS registry
FROM entries;
