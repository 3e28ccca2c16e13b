-- What is said of accounts beside the config: by sacctmgr, and by an allocation portal's export.

-- Each row stands until the next of its account. NULL: sacctmgr does not list the account any more.
CREATE TABLE account_report (
  cluster TEXT NOT NULL,
  account TEXT NOT NULL,
  observed_at_ms INTEGER NOT NULL,
  description TEXT,
  organization TEXT,
  PRIMARY KEY (cluster, account, observed_at_ms)
) WITHOUT ROWID;

-- One fact of an imported file. What was imported last stands, from from_ms on. cluster '': on all of them.
CREATE TABLE account_fact (
  cluster TEXT NOT NULL,
  account TEXT NOT NULL,
  field TEXT NOT NULL,
  from_ms INTEGER NOT NULL,
  imported_at_ms INTEGER NOT NULL,
  value TEXT NOT NULL,
  file TEXT NOT NULL,
  line INTEGER NOT NULL,
  PRIMARY KEY (cluster, account, field, from_ms, imported_at_ms)
) WITHOUT ROWID;
