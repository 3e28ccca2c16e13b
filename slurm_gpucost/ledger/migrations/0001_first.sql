-- The first schema. Times: integer milliseconds UTC (bound 2^62). Energy: integer millijoules.
-- Evidence tables are append-only: what a witness repeats unchanged only lowers observed_at_ms.
-- attempt, lease and device are computed from evidence; `gpucost rebuild` makes them anew.

CREATE TABLE meta (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE source_poll (
  id INTEGER PRIMARY KEY,
  witness TEXT NOT NULL,
  cluster TEXT NOT NULL,
  observed_at_ms INTEGER NOT NULL,
  window_start_ms INTEGER,
  window_end_ms INTEGER,
  rows INTEGER NOT NULL,
  new_rows INTEGER NOT NULL,
  ok INTEGER NOT NULL,
  current INTEGER NOT NULL,
  detail TEXT NOT NULL
);

CREATE INDEX source_poll_latest ON source_poll (witness, cluster, ok, current, observed_at_ms);

CREATE TABLE accounting_row (
  cluster TEXT NOT NULL,
  job_id INTEGER NOT NULL,
  submit_ms INTEGER NOT NULL,
  digest BLOB NOT NULL,
  observed_at_ms INTEGER NOT NULL,
  db_index TEXT,
  user TEXT NOT NULL,
  account TEXT NOT NULL,
  partition TEXT NOT NULL,
  qos TEXT NOT NULL,
  wckey TEXT NOT NULL,
  job_name TEXT NOT NULL,
  array_job_id INTEGER,
  array_task_id INTEGER,
  het_job_id INTEGER,
  het_offset INTEGER,
  state TEXT NOT NULL,
  cancelled_by INTEGER,
  exit_code TEXT NOT NULL,
  eligible_ms INTEGER,
  start_ms INTEGER,
  end_ms INTEGER,
  elapsed_ms INTEGER,
  suspended_ms INTEGER NOT NULL,
  node_count INTEGER NOT NULL,
  node_list TEXT NOT NULL,
  alloc_tres TEXT NOT NULL,
  PRIMARY KEY (cluster, job_id, submit_ms, digest)
) WITHOUT ROWID;

CREATE TABLE hook_event (
  cluster TEXT NOT NULL,
  job_id INTEGER NOT NULL,
  digest BLOB NOT NULL,
  hook TEXT NOT NULL,
  node TEXT NOT NULL,
  at_ms INTEGER NOT NULL,
  boot_id TEXT NOT NULL,
  uptime TEXT NOT NULL,
  pid INTEGER NOT NULL,
  uid INTEGER,
  user TEXT NOT NULL,
  account TEXT NOT NULL,
  partition TEXT NOT NULL,
  restart_count INTEGER,
  job_start_ms INTEGER,
  job_gpus TEXT,
  visible_devices TEXT,
  exit_code TEXT,
  PRIMARY KEY (cluster, job_id, digest)
) WITHOUT ROWID;

CREATE TABLE controller_row (
  cluster TEXT NOT NULL,
  job_id INTEGER NOT NULL,
  submit_ms INTEGER NOT NULL,
  digest BLOB NOT NULL,
  observed_at_ms INTEGER NOT NULL,
  state TEXT NOT NULL,
  user TEXT NOT NULL,
  account TEXT NOT NULL,
  partition TEXT NOT NULL,
  start_ms INTEGER,
  end_ms INTEGER,
  gres TEXT NOT NULL,
  PRIMARY KEY (cluster, job_id, submit_ms, digest)
) WITHOUT ROWID;

CREATE TABLE slot_report (
  cluster TEXT NOT NULL,
  node TEXT NOT NULL,
  gres_name TEXT NOT NULL,
  gres_index INTEGER NOT NULL,
  gres_type TEXT NOT NULL,
  device TEXT NOT NULL,
  observed_at_ms INTEGER NOT NULL,
  PRIMARY KEY (cluster, node, gres_name, gres_index, gres_type, device)
) WITHOUT ROWID;

CREATE TABLE device_report (
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
  PRIMARY KEY (device, digest)
) WITHOUT ROWID;

CREATE TABLE usage_window (
  device TEXT NOT NULL,
  start_ms INTEGER NOT NULL,
  end_ms INTEGER NOT NULL,
  observed_ms INTEGER NOT NULL,
  energy_mj INTEGER NOT NULL,
  energy_observed_ms INTEGER NOT NULL,
  sm_percent_ms INTEGER NOT NULL,
  sm_observed_ms INTEGER NOT NULL,
  memctl_percent_ms INTEGER NOT NULL,
  memctl_observed_ms INTEGER NOT NULL,
  memory_used_mib_ms INTEGER NOT NULL,
  memory_used_peak_mib INTEGER NOT NULL,
  memory_observed_ms INTEGER NOT NULL,
  PRIMARY KEY (device, start_ms)
) WITHOUT ROWID;

-- Rows and files that could not be read: kept whole, for a person to look at.
CREATE TABLE set_aside (
  digest BLOB PRIMARY KEY,
  witness TEXT NOT NULL,
  source TEXT NOT NULL,
  line INTEGER,
  reason TEXT NOT NULL,
  content BLOB NOT NULL,
  observed_at_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE dirty_job (
  cluster TEXT NOT NULL,
  job_id INTEGER NOT NULL,
  PRIMARY KEY (cluster, job_id)
) WITHOUT ROWID;

CREATE TRIGGER accounting_row_new AFTER INSERT ON accounting_row BEGIN
  INSERT OR IGNORE INTO dirty_job VALUES (new.cluster, new.job_id);
END;

-- Without OR IGNORE: in a trigger that an upsert's update fires, SQLite turns it into OR ABORT.
CREATE TRIGGER accounting_row_earlier AFTER UPDATE ON accounting_row
WHEN NOT EXISTS (SELECT 1 FROM dirty_job d WHERE d.cluster = new.cluster AND d.job_id = new.job_id) BEGIN
  INSERT INTO dirty_job VALUES (new.cluster, new.job_id);
END;

CREATE TRIGGER hook_event_new AFTER INSERT ON hook_event BEGIN
  INSERT OR IGNORE INTO dirty_job VALUES (new.cluster, new.job_id);
END;

CREATE TRIGGER hook_event_earlier AFTER UPDATE ON hook_event
WHEN NOT EXISTS (SELECT 1 FROM dirty_job d WHERE d.cluster = new.cluster AND d.job_id = new.job_id) BEGIN
  INSERT INTO dirty_job VALUES (new.cluster, new.job_id);
END;

CREATE TRIGGER controller_row_new AFTER INSERT ON controller_row BEGIN
  INSERT OR IGNORE INTO dirty_job VALUES (new.cluster, new.job_id);
END;

CREATE TRIGGER controller_row_earlier AFTER UPDATE ON controller_row
WHEN NOT EXISTS (SELECT 1 FROM dirty_job d WHERE d.cluster = new.cluster AND d.job_id = new.job_id) BEGIN
  INSERT INTO dirty_job VALUES (new.cluster, new.job_id);
END;

CREATE TABLE attempt (
  cluster TEXT NOT NULL,
  job_id INTEGER NOT NULL,
  submit_ms INTEGER NOT NULL,
  witness TEXT NOT NULL,
  evidence BLOB NOT NULL,
  state TEXT NOT NULL,
  user TEXT NOT NULL,
  account TEXT NOT NULL,
  partition TEXT NOT NULL,
  start_ms INTEGER,
  end_ms INTEGER,
  elapsed_ms INTEGER,
  suspended_ms INTEGER NOT NULL,
  billable INTEGER NOT NULL,
  seen_ms INTEGER NOT NULL,
  PRIMARY KEY (cluster, job_id, submit_ms)
) WITHOUT ROWID;

CREATE INDEX attempt_end ON attempt (end_ms);
CREATE INDEX attempt_never_ran ON attempt (end_ms) WHERE start_ms IS NULL;

-- Clustered by end: a month is one range scan, bounded by the longest lease.
CREATE TABLE lease (
  end_ms INTEGER NOT NULL,
  cluster TEXT NOT NULL,
  job_id INTEGER NOT NULL,
  submit_ms INTEGER NOT NULL,
  n INTEGER NOT NULL,
  start_ms INTEGER NOT NULL,
  suspended_ms INTEGER NOT NULL,
  seen_ms INTEGER NOT NULL,
  billable INTEGER NOT NULL,
  user TEXT NOT NULL,
  account TEXT NOT NULL,
  gres_name TEXT NOT NULL,
  gres_type TEXT NOT NULL,
  units INTEGER NOT NULL,
  share_num INTEGER NOT NULL,
  share_den INTEGER NOT NULL,
  node TEXT,
  gres_index INTEGER,
  device TEXT,
  device_evidence TEXT,
  start_evidence TEXT NOT NULL,
  end_evidence TEXT,
  PRIMARY KEY (end_ms, cluster, job_id, submit_ms, n)
) WITHOUT ROWID;

CREATE INDEX lease_job ON lease (cluster, job_id);

CREATE VIEW device AS
SELECT device, model, serial, host, minor, nvml_index, max(observed_at_ms) AS observed_at_ms
FROM device_report
GROUP BY device;
