-- Many nodes, one ledger. A node's journal is a file of this same schema: its evidence and window tables, the order in
-- which rows came, and up to which of them the collector has them.

-- One row in a journal; none in a ledger.
CREATE TABLE journal (
  id TEXT PRIMARY KEY,
  machine TEXT NOT NULL,
  made_ms INTEGER NOT NULL,
  acknowledged INTEGER NOT NULL
) WITHOUT ROWID;

-- In a journal: the key of each row that came or changed, in order; numbers are never used again.
CREATE TABLE journal_entry (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  at_ms INTEGER NOT NULL,
  kind TEXT NOT NULL,
  k1 BLOB NOT NULL,
  k2 BLOB,
  k3 BLOB,
  k4 BLOB,
  k5 BLOB
);

-- In a ledger: who may write as which node. A token is kept as its digest.
CREATE TABLE node_token (
  digest BLOB PRIMARY KEY,
  cluster TEXT NOT NULL,
  node TEXT NOT NULL,
  issued_ms INTEGER NOT NULL,
  issued_by TEXT NOT NULL,
  revoked_ms INTEGER
) WITHOUT ROWID;

-- In a ledger: the journals that it was sent, and up to which number it has all of each.
CREATE TABLE node_journal (
  journal TEXT PRIMARY KEY,
  cluster TEXT NOT NULL,
  node TEXT NOT NULL,
  state TEXT NOT NULL,
  held INTEGER NOT NULL,
  missing INTEGER NOT NULL,
  first_heard_ms INTEGER NOT NULL,
  last_heard_ms INTEGER NOT NULL,
  clock_ahead_ms INTEGER NOT NULL,
  version TEXT NOT NULL,
  said TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX node_journal_node ON node_journal (cluster, node);
