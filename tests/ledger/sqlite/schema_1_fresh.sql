BEGIN TRANSACTION;
CREATE TABLE digests (
    path TEXT PRIMARY KEY,
    inode INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
    sha256 TEXT NOT NULL
) WITHOUT ROWID;
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
    size INTEGER, inode INTEGER, mtime_ns INTEGER, ctime_ns INTEGER,
    sha256 TEXT,               -- of the bytes sent, or found equal
    -- Intent: JSON list of the version ids that this model had before the first byte was sent.
    fence TEXT,
    sealed INTEGER NOT NULL DEFAULT 0,  -- 1: the last piece may have left
    retaken INTEGER NOT NULL DEFAULT 0, -- 1: planned anew by --retry-failed: an equal version in error does not count
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
INSERT INTO "entries" VALUES(1,'129e110b8feb793fc898100ae433b296',1,108,'a',NULL,'a.onnx','onnx','{"line":1,"name":"a","path":"a.onnx","source":"/tmp/tmp4icmr1qk/a.onnx","workspace":null,"visibility":"private","version":null,"conversion":{"framework":"onnx","python_version":"3.8","requirements":[],"arch":null,"accel":null,"framework_config":null},"input_schema":null,"output_schema":null,"sha256":null,"labels":{}}','{}','planned',13,2149641,1795868606217539844,1795868606217539844,NULL,NULL,0,0,NULL,0,NULL,NULL,NULL,NULL,NULL,0,0,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "entries" VALUES(2,'f8a532e2fd99f587cde5bb47c4a0f46d',2,108,'b',NULL,'b.onnx','onnx','{"line":2,"name":"b","path":"b.onnx","source":"/tmp/tmp4icmr1qk/b.onnx","workspace":null,"visibility":"private","version":null,"conversion":{"framework":"onnx","python_version":"3.8","requirements":[],"arch":null,"accel":null,"framework_config":null},"input_schema":null,"output_schema":null,"sha256":null,"labels":{}}','{}','planned',14,2150809,1795868606217789937,1795868606217789937,NULL,NULL,0,0,NULL,0,NULL,NULL,NULL,NULL,NULL,0,0,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "entries" VALUES(3,'d1d28ac2e1e3f8cf5d9e73286716eab9',3,108,'c',NULL,'c.onnx','onnx','{"line":3,"name":"c","path":"c.onnx","source":"/tmp/tmp4icmr1qk/c.onnx","workspace":null,"visibility":"private","version":null,"conversion":{"framework":"onnx","python_version":"3.8","requirements":[],"arch":null,"accel":null,"framework_config":null},"input_schema":null,"output_schema":null,"sha256":null,"labels":{}}','{}','planned',3000012,2150820,1795868606230050649,1795868606230050649,NULL,NULL,0,0,NULL,0,NULL,NULL,NULL,NULL,NULL,0,0,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "entries" VALUES(4,'4d83068fb977b3c088ae1fad0a43912c',4,108,'d',NULL,'d.onnx','onnx','{"line":4,"name":"d","path":"d.onnx","source":"/tmp/tmp4icmr1qk/d.onnx","workspace":null,"visibility":"private","version":null,"conversion":{"framework":"onnx","python_version":"3.8","requirements":[],"arch":null,"accel":null,"framework_config":null},"input_schema":null,"output_schema":null,"sha256":null,"labels":{}}','{}','planned',16,2150821,1795868606231592891,1795868606231592891,NULL,NULL,0,0,NULL,0,NULL,NULL,NULL,NULL,NULL,0,0,0,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "entries" VALUES(5,'6a007850c39a288602c4fbe5214b5565',5,108,'e',NULL,'e.onnx','onnx','{"line":5,"name":"e","path":"e.onnx","source":"/tmp/tmp4icmr1qk/e.onnx","workspace":null,"visibility":"private","version":null,"conversion":{"framework":"onnx","python_version":"3.8","requirements":[],"arch":null,"accel":null,"framework_config":null},"input_schema":null,"output_schema":null,"sha256":null,"labels":{}}','{}','planned',17,2150822,1795868606231817400,1795868606231817400,NULL,NULL,0,0,NULL,0,NULL,NULL,NULL,NULL,NULL,0,0,0,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE listing (
    version_id INTEGER PRIMARY KEY,
    workspace_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    size INTEGER,
    version TEXT NOT NULL      -- the version as the registry showed it, JSON
);
CREATE TABLE meta (
    key TEXT PRIMARY KEY,      -- schema_version, registry (whom this ledger belongs to), endpoint, manifest,
                               -- conversion_seconds (of late, by kind; JSON)
    value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "meta" VALUES('endpoint','http://127.0.0.1:36697');
INSERT INTO "meta" VALUES('manifest','/tmp/tmp4icmr1qk/models.jsonl');
INSERT INTO "meta" VALUES('registry','sandbox 35683fc1-06c1-4842-b191-039ad1d940ef');
INSERT INTO "meta" VALUES('schema_version','1');
CREATE TABLE past_publications (
    entry_id INTEGER NOT NULL REFERENCES entries (id),
    state TEXT NOT NULL, size INTEGER, sha256 TEXT, version_id INTEGER, owned INTEGER NOT NULL, version_uuid TEXT,
    status TEXT, cause TEXT, message TEXT, logs TEXT, attempts INTEGER NOT NULL, adopted INTEGER NOT NULL,
    uploaded_at TEXT, finished_at TEXT, upload_seconds REAL, convert_seconds REAL, run_id TEXT
);
CREATE TABLE runs (
    number INTEGER PRIMARY KEY, -- in the order in which they began, whatever the wall clock said
    run_id TEXT NOT NULL UNIQUE,
    started_at TEXT NOT NULL,
    finished_at TEXT,          -- NULL: at work, or killed
    exit_code INTEGER,
    summary TEXT               -- the summary object, JSON
);
INSERT INTO "runs" VALUES(1,'20261128T122326Z-fa4637','2026-11-28T12:23:26.292Z',NULL,NULL,NULL);
CREATE UNIQUE INDEX entries_owned_version ON entries (version_id) WHERE owned = 1;
CREATE INDEX entries_line ON entries (line);
CREATE INDEX entries_state ON entries (state, line);
CREATE INDEX entries_sending ON entries (workspace_id, name, state, line)
    WHERE state IN ('planned', 'uploading', 'in_doubt');
CREATE INDEX entries_decisive ON entries (sealed, fence)
    WHERE state IN ('uploading', 'in_doubt', 'uploaded');
CREATE INDEX entries_audit ON entries (id) WHERE audit = 1;
CREATE INDEX entries_model ON entries (workspace_id, name, sha256);
CREATE INDEX past_of_entry ON past_publications (entry_id);
CREATE UNIQUE INDEX past_owned_version ON past_publications (version_id) WHERE owned = 1;
CREATE INDEX listing_model ON listing (workspace_id, name);
CREATE VIEW results AS
SELECT entry_key, line, name, workspace_id, version_label, path, framework, size, sha256, state, version_id,
       version_uuid, status, cause, message, logs, attempts, adopted, labels, uploaded_at, finished_at,
       upload_seconds, convert_seconds, run_id
FROM entries;
COMMIT;
