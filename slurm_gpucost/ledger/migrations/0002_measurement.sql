-- What sums over gaps and restarts need of a window; MIG layouts; processes on devices.
-- Windows of before this step know neither counter nor epoch: what was drawn between them is unknown.

ALTER TABLE usage_window ADD COLUMN energy_source TEXT NOT NULL DEFAULT 'counter';
ALTER TABLE usage_window ADD COLUMN energy_uncertainty_permille INTEGER NOT NULL DEFAULT 50;
ALTER TABLE usage_window ADD COLUMN energy_counter_start_mj INTEGER;
ALTER TABLE usage_window ADD COLUMN energy_counter_end_mj INTEGER;
ALTER TABLE usage_window ADD COLUMN energy_epoch TEXT NOT NULL DEFAULT '';
ALTER TABLE usage_window ADD COLUMN energy_restarted INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_window ADD COLUMN sm_idle_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_window ADD COLUMN temperature_c_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_window ADD COLUMN temperature_peak_c INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage_window ADD COLUMN temperature_observed_ms INTEGER NOT NULL DEFAULT 0;

-- All rows of one parent and moment are its whole layout from then on; device '' alone: it has no instances.
CREATE TABLE mig_report (
  parent TEXT NOT NULL,
  observed_at_ms INTEGER NOT NULL,
  device TEXT NOT NULL,
  profile TEXT NOT NULL,
  gpu_instance INTEGER,
  compute_instance INTEGER,
  gpu_slices INTEGER NOT NULL,
  compute_slices INTEGER NOT NULL,
  slices_of INTEGER NOT NULL,
  memory_mib INTEGER NOT NULL,
  PRIMARY KEY (parent, observed_at_ms, device)
) WITHOUT ROWID;

-- One process on one device. What is seen again only widens first_seen_ms .. last_seen_ms and raises the peak.
CREATE TABLE device_process (
  device TEXT NOT NULL,
  boot_id TEXT NOT NULL,
  pid INTEGER NOT NULL,
  started_ticks INTEGER NOT NULL,
  uid INTEGER NOT NULL,
  user TEXT NOT NULL,
  executable TEXT NOT NULL,
  first_seen_ms INTEGER NOT NULL,
  last_seen_ms INTEGER NOT NULL,
  memory_peak_mib INTEGER NOT NULL,
  PRIMARY KEY (device, boot_id, pid, started_ticks)
) WITHOUT ROWID;

CREATE INDEX device_process_seen ON device_process (last_seen_ms);
