-- What billing rules ask of an attempt, beside its state: which run of its job it was, its QOS and reservation, who cancelled it.
-- It stands in holder, too, so that a rule is asked once for all leases that are alike.
ALTER TABLE accounting_row ADD COLUMN reservation TEXT NOT NULL DEFAULT '';
ALTER TABLE attempt ADD COLUMN qos TEXT NOT NULL DEFAULT '';
ALTER TABLE attempt ADD COLUMN reservation TEXT NOT NULL DEFAULT '';
ALTER TABLE attempt ADD COLUMN run INTEGER NOT NULL DEFAULT 1;
ALTER TABLE attempt ADD COLUMN cancelled_by INTEGER;

DROP VIEW lease;
DROP TABLE holder;
DELETE FROM lease_row;
DELETE FROM attempt;
CREATE TABLE holder (
  holder INTEGER PRIMARY KEY,
  cluster TEXT NOT NULL,
  account TEXT NOT NULL,
  user TEXT NOT NULL,
  billable INTEGER NOT NULL,
  suspended TEXT NOT NULL,
  gres_name TEXT NOT NULL,
  gres_type TEXT NOT NULL,
  share_den INTEGER NOT NULL,
  model TEXT NOT NULL,
  state TEXT NOT NULL,
  partition TEXT NOT NULL,
  qos TEXT NOT NULL,
  reservation TEXT NOT NULL,
  run INTEGER NOT NULL,
  -- -1: by nobody, or not told.
  cancelled_by INTEGER NOT NULL,
  vanished INTEGER NOT NULL,
  UNIQUE (cluster, account, user, billable, suspended, gres_name, gres_type, share_den, model, state, partition, qos,
    reservation, run, cancelled_by, vanished)
);
CREATE VIEW lease AS
SELECT l.end_ms, l.cluster, l.job_id, l.submit_ms, l.n, l.start_ms, h.suspended, l.seen_ms, h.billable, h.user, h.account,
  h.gres_name, h.gres_type, l.units, l.share_num, h.share_den, l.node, l.gres_index, l.device, l.device_evidence,
  l.start_evidence, l.end_evidence, l.prolog_ms, l.epilog_ms, h.state, h.partition, h.qos, h.reservation, h.run,
  h.cancelled_by, h.vanished, h.model, l.end_day, l.inventoried, l.holder
FROM lease_row l JOIN holder h ON h.holder = l.holder;
INSERT OR IGNORE INTO dirty_job SELECT DISTINCT cluster, job_id FROM accounting_row;
INSERT OR IGNORE INTO dirty_job SELECT DISTINCT cluster, job_id FROM hook_event;
INSERT OR IGNORE INTO dirty_job SELECT DISTINCT cluster, job_id FROM controller_row;
