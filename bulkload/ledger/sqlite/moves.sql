-- The moves that most entries make, as rows of a view: many in one step of SQLite, which gives Python's lock away and
-- takes it back at each. A row is carried out by the trigger of its kind, in the order of the rows. One whose entry
-- does not stand where the row says, or whose version is another's, refuses the whole statement.
-- What a row does not say is the number 0, and '' where a number is meant: Python binds NULL at twenty times the cost.

CREATE TEMP VIEW moves AS SELECT
    NULL AS kind, NULL AS id, NULL AS run_id, NULL AS line, NULL AS size, NULL AS mark, NULL AS fence, NULL AS sha256,
    NULL AS version_id, NULL AS at, NULL AS seconds, NULL AS before, NULL AS after, NULL AS status,
    NULL AS version_uuid, NULL AS cause, NULL AS message, NULL AS logs;

CREATE TEMP TRIGGER intend INSTEAD OF INSERT ON moves WHEN new.kind = 'intend' BEGIN
    UPDATE entries SET
        state = 'uploading', run_id = new.run_id, size = new.size, mark = nullif(new.mark, 0), fence = new.fence,
        sha256 = nullif(new.sha256, 0), sealed = new.sha256 <> 0, audit = attempts > 0, attempts = attempts + 1,
        cause = NULL, message = NULL
    WHERE id = new.id AND state = 'planned';
    SELECT raise(ABORT, 'refused') WHERE changes() <> 1;
END;

CREATE TEMP TRIGGER seal INSTEAD OF INSERT ON moves WHEN new.kind = 'seal' BEGIN
    UPDATE entries SET sealed = 1, sha256 = new.sha256 WHERE id = new.id AND state = 'uploading';
    SELECT raise(ABORT, 'refused') WHERE changes() <> 1;
END;

-- With a message: what is said where a later version of the model was published before this one.
CREATE TEMP TRIGGER arrive INSTEAD OF INSERT ON moves WHEN new.kind = 'arrive' BEGIN
    UPDATE entries SET
        state = 'uploaded', run_id = new.run_id, version_id = new.version_id, owned = 1, uploaded_at = new.at,
        upload_seconds = new.seconds, message = CASE
            WHEN new.message <> 0 AND EXISTS (
                SELECT 1 FROM entries AS later WHERE later.workspace_id = entries.workspace_id
                AND later.name = entries.name AND later.line > new.line AND later.owned = 1
            ) THEN new.message ELSE message END
    WHERE id = new.id AND state = 'uploading'
        AND NOT EXISTS (SELECT 1 FROM past_publications WHERE version_id = new.version_id AND owned = 1);
    SELECT raise(ABORT, 'refused') WHERE changes() <> 1;
END;

CREATE TEMP TRIGGER conclude INSTEAD OF INSERT ON moves WHEN new.kind = 'conclude' BEGIN
    UPDATE entries SET
        state = new.after, run_id = new.run_id, status = coalesce(nullif(new.status, 0), status),
        version_uuid = coalesce(nullif(new.version_uuid, 0), version_uuid), cause = coalesce(nullif(new.cause, 0), cause),
        message = coalesce(nullif(new.message, 0), message), logs = coalesce(nullif(new.logs, 0), logs),
        finished_at = coalesce(nullif(new.at, 0), finished_at), convert_seconds = coalesce(nullif(new.seconds, ''), convert_seconds)
    WHERE id = new.id AND state = new.before;
    SELECT raise(ABORT, 'refused') WHERE changes() <> 1;
END;

CREATE TEMP TRIGGER note_status INSTEAD OF INSERT ON moves WHEN new.kind = 'status' BEGIN
    UPDATE entries SET status = nullif(new.status, 0) WHERE id = new.id AND state = 'uploaded';
END;
