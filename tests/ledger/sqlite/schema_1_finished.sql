BEGIN TRANSACTION;
CREATE TABLE digests (
    path TEXT PRIMARY KEY,
    inode INTEGER NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
    sha256 TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "digests" VALUES('/tmp/tmplvshsq9e/c.onnx',2150872,3000012,1795868610900726484,1795868610900726484,'36afa154d30124167b3bb455fe8c9b48eb88ed8cf9c54ae1e4d36523b1b1b36e');
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
INSERT INTO "entries" VALUES(1,'129e110b8feb793fc898100ae433b296',1,108,'a',NULL,'a.onnx','onnx','{"line":1,"name":"a","path":"a.onnx","source":"/tmp/tmplvshsq9e/a.onnx","workspace":null,"visibility":"private","version":null,"conversion":{"framework":"onnx","python_version":"3.8","requirements":[],"arch":null,"accel":null,"framework_config":null},"input_schema":null,"output_schema":null,"sha256":null,"labels":{}}','{}','skipped',13,2150871,1795868610889081442,1795868610889081442,'0fff260ba4756e545127aa599cec154c92fae25d867e57d8ac27b43356bcf91c',NULL,0,0,1215,0,'9f8606a2-d432-4908-854c-51b2663633eb','ready',NULL,'an equal version was there already',NULL,0,0,0,NULL,'2026-11-28T12:23:31.044Z',NULL,NULL,'20261128T122330Z-dbae09');
INSERT INTO "entries" VALUES(2,'f8a532e2fd99f587cde5bb47c4a0f46d',2,108,'b',NULL,'b.onnx','onnx','{"line":2,"name":"b","path":"b.onnx","source":"/tmp/tmplvshsq9e/b.onnx","workspace":null,"visibility":"private","version":null,"conversion":{"framework":"onnx","python_version":"3.8","requirements":[],"arch":null,"accel":null,"framework_config":null},"input_schema":null,"output_schema":null,"sha256":null,"labels":{}}','{}','ready',14,2150876,1795868610889310792,1795868610889310792,'bebbd1fcae18e2afb7eee7dcb171e8907cf80c160831aad1ceafe9a17c6d51ce','[]',1,0,1217,1,'2c734a93-7643-4daa-9564-fa61cd77b8d6','ready',NULL,NULL,NULL,1,0,0,'2026-11-28T12:23:31.050Z','2026-11-28T12:23:31.065Z',0.005,0.004,'20261128T122330Z-dbae09');
INSERT INTO "entries" VALUES(3,'d1d28ac2e1e3f8cf5d9e73286716eab9',3,108,'c',NULL,'c.onnx','onnx','{"line":3,"name":"c","path":"c.onnx","source":"/tmp/tmplvshsq9e/c.onnx","workspace":null,"visibility":"private","version":null,"conversion":{"framework":"onnx","python_version":"3.8","requirements":[],"arch":null,"accel":null,"framework_config":null},"input_schema":null,"output_schema":null,"sha256":null,"labels":{}}','{}','skipped',3000012,2150872,1795868610900726484,1795868610900726484,'36afa154d30124167b3bb455fe8c9b48eb88ed8cf9c54ae1e4d36523b1b1b36e',NULL,0,0,1216,0,'d45ac4e5-d332-4e42-baae-bbd7f36c51c4','ready',NULL,'an equal version was there already',NULL,0,0,0,NULL,'2026-11-28T12:23:31.082Z',NULL,NULL,'20261128T122330Z-dbae09');
INSERT INTO "entries" VALUES(4,'4d83068fb977b3c088ae1fad0a43912c',4,108,'d',NULL,'d.onnx','onnx','{"line":4,"name":"d","path":"d.onnx","source":"/tmp/tmplvshsq9e/d.onnx","workspace":null,"visibility":"private","version":null,"conversion":{"framework":"onnx","python_version":"3.8","requirements":[],"arch":null,"accel":null,"framework_config":null},"input_schema":null,"output_schema":null,"sha256":null,"labels":{}}','{}','ready',16,2150878,1795868610902899476,1795868610902899476,'f9ec2a5eb28332a604360e0ea1232deaab1e1813bcb1b870ad11849d7c706fcb','[]',1,0,1218,1,'b10bbca6-3f72-4ae2-bb86-7b3bb935093c','ready',NULL,NULL,NULL,1,0,0,'2026-11-28T12:23:31.086Z','2026-11-28T12:23:31.089Z',0.003,0.001,'20261128T122330Z-dbae09');
INSERT INTO "entries" VALUES(5,'6a007850c39a288602c4fbe5214b5565',5,108,'e',NULL,'e.onnx','onnx','{"line":5,"name":"e","path":"e.onnx","source":"/tmp/tmplvshsq9e/e.onnx","workspace":null,"visibility":"private","version":null,"conversion":{"framework":"onnx","python_version":"3.8","requirements":[],"arch":null,"accel":null,"framework_config":null},"input_schema":null,"output_schema":null,"sha256":null,"labels":{}}','{}','ready',17,2150887,1795868610903097117,1795868610903097117,'63ab3f1b39b2ba88dd49ff70cdc3572d34ff6267a09ffa7bed073dfc220db62e','[]',1,0,1219,1,'f69ff3a9-d628-4e49-9b55-74f6485e7bee','ready',NULL,NULL,NULL,1,0,0,'2026-11-28T12:23:31.094Z','2026-11-28T12:23:31.110Z',0.006,0.001,'20261128T122330Z-dbae09');
CREATE TABLE listing (
    version_id INTEGER PRIMARY KEY,
    workspace_id INTEGER NOT NULL,
    name TEXT NOT NULL,
    size INTEGER,
    version TEXT NOT NULL      -- the version as the registry showed it, JSON
);
INSERT INTO "listing" VALUES(1215,108,'a',13,'{"version_id":1215,"name":"a","workspace_id":108,"visibility":"private","conversion":{"framework":"onnx","python_version":"3.8","requirements":[],"arch":null,"accel":null,"framework_config":null},"input_schema":null,"output_schema":null,"status":"ready","sha256":"0fff260ba4756e545127aa599cec154c92fae25d867e57d8ac27b43356bcf91c","size":13,"file_name":"a.onnx","uuid":"9f8606a2-d432-4908-854c-51b2663633eb","error_summary":null,"created_at":"2026-11-28T12:23:30.686829+00:00"}');
INSERT INTO "listing" VALUES(1216,108,'c',3000012,'{"version_id":1216,"name":"c","workspace_id":108,"visibility":"private","conversion":{"framework":"onnx","python_version":"3.8","requirements":[],"arch":null,"accel":null,"framework_config":null},"input_schema":null,"output_schema":null,"status":"ready","sha256":"36afa154d30124167b3bb455fe8c9b48eb88ed8cf9c54ae1e4d36523b1b1b36e","size":3000012,"file_name":"c.onnx","uuid":"d45ac4e5-d332-4e42-baae-bbd7f36c51c4","error_summary":null,"created_at":"2026-11-28T12:23:30.813561+00:00"}');
CREATE TABLE meta (
    key TEXT PRIMARY KEY,      -- schema_version, registry (whom this ledger belongs to), endpoint, manifest,
                               -- conversion_seconds (of late, by kind; JSON)
    value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO "meta" VALUES('conversion_seconds','{}');
INSERT INTO "meta" VALUES('endpoint','http://127.0.0.1:33161');
INSERT INTO "meta" VALUES('manifest','/tmp/tmplvshsq9e/models.jsonl');
INSERT INTO "meta" VALUES('registry','sandbox 7c5cc159-ff0b-44a8-abf4-017bb9828387');
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
INSERT INTO "runs" VALUES(1,'20261128T122330Z-dbae09','2026-11-28T12:23:31.000Z','2026-11-28T12:23:31.113Z',0,'{"run_id":"20261128T122330Z-dbae09","endpoint":"http://127.0.0.1:33161","manifest":"/tmp/tmplvshsq9e/models.jsonl","ledger":"/tmp/tmplvshsq9e/ledger.db","exit_code":0,"entries":5,"states":{"planned":0,"uploading":0,"in_doubt":0,"uploaded":0,"ready":3,"error":0,"skipped":2,"failed":0},"bytes_sent":47,"requests":{"upload":3,"poll":3,"list":1,"auth":0,"other":2},"retries":0,"adopted":0,"duplicates":0,"elapsed_seconds":0.117,"failures":[]}');
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
