-- Who may see and do what: as slurmdbd says it, and by tokens.

-- Each row stands until the next of its user. Who never was more than a user has no row. NULL: he is no more than that now.
CREATE TABLE user_report (
  cluster TEXT NOT NULL,
  user TEXT NOT NULL,
  observed_at_ms INTEGER NOT NULL,
  admin_level TEXT,
  PRIMARY KEY (cluster, user, observed_at_ms)
) WITHOUT ROWID;

-- Each row stands until the next of its user and account. coordinates 0: not any more.
CREATE TABLE coordinator_report (
  cluster TEXT NOT NULL,
  user TEXT NOT NULL,
  account TEXT NOT NULL,
  observed_at_ms INTEGER NOT NULL,
  coordinates INTEGER NOT NULL,
  PRIMARY KEY (cluster, user, account, observed_at_ms)
) WITHOUT ROWID;

-- Each row stands until the next of its key. user '': the account itself, below its parent; else the user is a member.
-- listed 0: not any more.
CREATE TABLE association_report (
  cluster TEXT NOT NULL,
  user TEXT NOT NULL,
  account TEXT NOT NULL,
  observed_at_ms INTEGER NOT NULL,
  parent TEXT NOT NULL,
  listed INTEGER NOT NULL,
  PRIMARY KEY (cluster, user, account, observed_at_ms)
) WITHOUT ROWID;

-- Each row stands until the next of its cluster: PrivateData of slurm.conf and slurmdbd.conf together.
CREATE TABLE privacy_report (
  cluster TEXT NOT NULL,
  observed_at_ms INTEGER NOT NULL,
  private_data TEXT NOT NULL,
  PRIMARY KEY (cluster, observed_at_ms)
) WITHOUT ROWID;

-- Who may ask as which user. A token is kept as its digest.
CREATE TABLE user_token (
  digest BLOB PRIMARY KEY,
  user TEXT NOT NULL,
  issued_ms INTEGER NOT NULL,
  expires_ms INTEGER NOT NULL,
  issued_by TEXT NOT NULL,
  revoked_ms INTEGER
) WITHOUT ROWID;
