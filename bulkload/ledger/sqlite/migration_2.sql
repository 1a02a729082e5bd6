-- From schema 1, of bulkload 0.1.0, to 2: a mark in place of inode and times, and a word of its own for what
-- --retry-failed asks for. A mark is written as bulkload.source.local writes it, so that no unchanged file is read
-- again. Schema 1 held inodes as signed numbers; a time that it could not hold is unknown, and gives no mark.

ALTER TABLE entries ADD COLUMN mark TEXT;
UPDATE entries SET mark = printf('%u:%d:%d', inode, mtime_ns, ctime_ns)
    WHERE inode IS NOT NULL AND mtime_ns IS NOT NULL AND ctime_ns IS NOT NULL;
-- The old columns stay, and nobody asks for them: SQLite before 3.35, as Red Hat 8 has it, cannot drop any.
ALTER TABLE entries RENAME COLUMN retaken TO retry_requested;

ALTER TABLE digests RENAME TO digests_1;
CREATE TABLE digests (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, mark TEXT NOT NULL, sha256 TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO digests SELECT path, size, printf('%u:%d:%d', inode, mtime_ns, ctime_ns), sha256 FROM digests_1;
DROP TABLE digests_1;

-- The same conditions by OR: for IN with three values SQLite builds a set anew for each row that it writes.
DROP INDEX entries_sending;
CREATE INDEX entries_sending ON entries (workspace_id, name, state, line)
    WHERE state = 'planned' OR state = 'uploading' OR state = 'in_doubt';
DROP INDEX entries_decisive;
CREATE INDEX entries_decisive ON entries (sealed, fence)
    WHERE state = 'uploading' OR state = 'in_doubt' OR state = 'uploaded';

DROP VIEW results;
CREATE VIEW results AS
SELECT entry_key, line, name, workspace_id, version_label, path, framework, size, sha256, state, version_id,
       version_uuid, status, cause, message, logs, attempts, adopted, labels, uploaded_at, finished_at,
       upload_seconds, convert_seconds, run_id, json_extract(spec, '$.workspace') AS workspace,
       (SELECT value FROM meta WHERE key = 'registry') AS registry
FROM entries;
