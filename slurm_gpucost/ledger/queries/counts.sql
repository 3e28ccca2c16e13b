-- How much the ledger holds.
SELECT
  (SELECT count(*) FROM accounting_row) AS accounting_rows,
  (SELECT count(*) FROM hook_event) AS hook_events,
  (SELECT count(*) FROM controller_row) AS controller_rows,
  (SELECT count(*) FROM usage_window) AS usage_windows,
  (SELECT count(*) FROM attempt) AS attempts,
  (SELECT count(*) FROM attempt WHERE billable = 0) AS held_attempts,
  (SELECT count(*) FROM attempt WHERE end_ms IS NULL AND start_ms IS NOT NULL) AS running_attempts,
  (SELECT count(*) FROM lease_row) AS leases,
  (SELECT count(*) FROM set_aside) AS set_aside,
  (SELECT count(*) FROM dirty_job) AS awaiting_projection,
  (SELECT min(start_ms) FROM lease_row) AS first_ms
