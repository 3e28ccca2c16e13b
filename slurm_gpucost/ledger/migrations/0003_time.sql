-- The time of every device: what nodes have, when they were out of use, and what slots did while nobody held them.
-- Reports of slots and devices become logs of changes (a card that comes back is told from one that never left), and
-- a lease's suspended time becomes rows of its own.

-- Each row stands until the next of its node. gres '': the controller does not list the node any more.
CREATE TABLE node_report (
  cluster TEXT NOT NULL,
  node TEXT NOT NULL,
  observed_at_ms INTEGER NOT NULL,
  gres TEXT NOT NULL,
  PRIMARY KEY (cluster, node, observed_at_ms)
) WITHOUT ROWID;

-- Each row stands until the next of its key: slurmdbd can end an event and open it again.
CREATE TABLE node_event (
  cluster TEXT NOT NULL,
  node TEXT NOT NULL,
  source TEXT NOT NULL,
  start_ms INTEGER NOT NULL,
  observed_at_ms INTEGER NOT NULL,
  end_ms INTEGER,
  class TEXT NOT NULL,
  state TEXT NOT NULL,
  reason TEXT NOT NULL,
  user TEXT NOT NULL,
  PRIMARY KEY (cluster, node, source, start_ms, observed_at_ms)
) WITHOUT ROWID;

-- Attempts that the accounting had as not ended and does not know any more; deleted when it names them again.
CREATE TABLE vanished_row (
  cluster TEXT NOT NULL,
  job_id INTEGER NOT NULL,
  submit_ms INTEGER NOT NULL,
  last_named_ms INTEGER NOT NULL,
  observed_at_ms INTEGER NOT NULL,
  PRIMARY KEY (cluster, job_id, submit_ms)
) WITHOUT ROWID;

ALTER TABLE controller_row ADD COLUMN suspend_ms INTEGER;
ALTER TABLE controller_row ADD COLUMN ran_ms INTEGER NOT NULL DEFAULT 0;

CREATE TABLE slot_report_log (
  cluster TEXT NOT NULL,
  node TEXT NOT NULL,
  gres_name TEXT NOT NULL,
  gres_index INTEGER NOT NULL,
  gres_type TEXT NOT NULL,
  device TEXT NOT NULL,
  observed_at_ms INTEGER NOT NULL,
  PRIMARY KEY (cluster, node, gres_name, gres_index, observed_at_ms)
) WITHOUT ROWID;
INSERT OR IGNORE INTO slot_report_log SELECT * FROM slot_report ORDER BY device = '';
DROP TABLE slot_report;
ALTER TABLE slot_report_log RENAME TO slot_report;

DROP VIEW device;
CREATE TABLE device_report_log (
  device TEXT NOT NULL,
  digest BLOB NOT NULL,
  observed_at_ms INTEGER NOT NULL,
  host TEXT NOT NULL,
  model TEXT NOT NULL,
  serial TEXT NOT NULL,
  minor INTEGER,
  nvml_index INTEGER NOT NULL,
  pci_bus_id TEXT NOT NULL,
  memory_bytes INTEGER,
  mig_mode INTEGER,
  driver_version TEXT NOT NULL,
  PRIMARY KEY (device, observed_at_ms)
) WITHOUT ROWID;
INSERT OR IGNORE INTO device_report_log SELECT * FROM device_report;
DROP TABLE device_report;
ALTER TABLE device_report_log RENAME TO device_report;
CREATE VIEW device AS
SELECT device, model, serial, host, minor, nvml_index, max(observed_at_ms) AS observed_at_ms
FROM device_report
GROUP BY device;

ALTER TABLE attempt ADD COLUMN vanished INTEGER NOT NULL DEFAULT 0;

-- Made anew by the projection. Whatever sums group by or filter on stands once in holder, so that they add up by one number;
-- rows lie in order of the day they end on, then holder: a month is one range, added up as it is read, without a sort.
DROP TABLE lease;
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
  UNIQUE (cluster, account, user, billable, suspended, gres_name, gres_type, share_den, model)
);
CREATE TABLE lease_row (
  end_day INTEGER NOT NULL,
  holder INTEGER NOT NULL,
  end_ms INTEGER NOT NULL,
  cluster TEXT NOT NULL,
  job_id INTEGER NOT NULL,
  submit_ms INTEGER NOT NULL,
  n INTEGER NOT NULL,
  start_ms INTEGER NOT NULL,
  seen_ms INTEGER NOT NULL,
  units INTEGER NOT NULL,
  share_num INTEGER NOT NULL,
  node TEXT,
  gres_index INTEGER,
  device TEXT,
  device_evidence TEXT,
  start_evidence TEXT NOT NULL,
  end_evidence TEXT,
  prolog_ms INTEGER,
  epilog_ms INTEGER,
  -- The node is in the inventory: the lease counts in the time of its devices.
  inventoried INTEGER NOT NULL,
  PRIMARY KEY (end_day, holder, end_ms, cluster, job_id, submit_ms, n)
) WITHOUT ROWID;
CREATE INDEX lease_job ON lease_row (cluster, job_id);
CREATE INDEX lease_node ON lease_row (cluster, node, (CASE WHEN epilog_ms > end_ms THEN epilog_ms ELSE end_ms END))
WHERE inventoried = 1;
CREATE VIEW lease AS
SELECT l.end_ms, l.cluster, l.job_id, l.submit_ms, l.n, l.start_ms, h.suspended, l.seen_ms, h.billable, h.user, h.account,
  h.gres_name, h.gres_type, l.units, l.share_num, h.share_den, l.node, l.gres_index, l.device, l.device_evidence,
  l.start_evidence, l.end_evidence, l.prolog_ms, l.epilog_ms, h.model, l.end_day, l.inventoried, l.holder
FROM lease_row l JOIN holder h ON h.holder = l.holder;

-- Jobs whose leases name a device that the driver has not told of yet: they are projected again when it does.
CREATE TABLE unknown_device (
  device TEXT NOT NULL,
  cluster TEXT NOT NULL,
  job_id INTEGER NOT NULL,
  PRIMARY KEY (device, cluster, job_id)
) WITHOUT ROWID;
INSERT OR IGNORE INTO dirty_job SELECT DISTINCT cluster, job_id FROM accounting_row;
INSERT OR IGNORE INTO dirty_job SELECT DISTINCT cluster, job_id FROM hook_event;
INSERT OR IGNORE INTO dirty_job SELECT DISTINCT cluster, job_id FROM controller_row;
DELETE FROM attempt;

-- A slot existed, with this device in it. Computed from node_report, slot_report and node_event.
CREATE TABLE capacity (
  cluster TEXT NOT NULL,
  node TEXT NOT NULL,
  gres_index INTEGER NOT NULL,
  start_ms INTEGER NOT NULL,
  end_ms INTEGER NOT NULL,
  gres_type TEXT NOT NULL,
  device TEXT,
  PRIMARY KEY (cluster, node, gres_index, start_ms)
) WITHOUT ROWID;

-- What slots did while no lease that names them held them. Computed from capacity, lease and node_event.
CREATE TABLE device_time (
  cluster TEXT NOT NULL,
  node TEXT NOT NULL,
  gres_index INTEGER NOT NULL,
  start_ms INTEGER NOT NULL,
  state TEXT NOT NULL,
  class TEXT NOT NULL,
  end_ms INTEGER NOT NULL,
  gres_type TEXT NOT NULL,
  device TEXT,
  share_num INTEGER NOT NULL,
  share_den INTEGER NOT NULL,
  PRIMARY KEY (cluster, node, gres_index, start_ms, state, class)
) WITHOUT ROWID;
CREATE INDEX device_time_end ON device_time (end_ms);

-- Nodes of which the time from from_ms on awaits projection.
CREATE TABLE dirty_node (
  cluster TEXT NOT NULL,
  node TEXT NOT NULL,
  from_ms INTEGER NOT NULL,
  PRIMARY KEY (cluster, node)
) WITHOUT ROWID;
