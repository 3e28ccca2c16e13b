-- What is said of reservations, and how many CPUs nodes have: whether a reservation is of whole nodes is in its CPUs alone.

-- Each row stands until the next of its key. slurmdbd has a row for each stretch in which nothing of a reservation changed.
-- listed 0: it does not have the row any more; the row is as it was, and ends when it was last there.
CREATE TABLE reservation_report (
  cluster TEXT NOT NULL,
  id INTEGER NOT NULL,
  start_ms INTEGER NOT NULL,
  observed_at_ms INTEGER NOT NULL,
  end_ms INTEGER NOT NULL,
  name TEXT NOT NULL,
  accounts TEXT NOT NULL,
  associations TEXT NOT NULL,
  nodes TEXT NOT NULL,
  tres TEXT NOT NULL,
  flags TEXT NOT NULL,
  listed INTEGER NOT NULL,
  PRIMARY KEY (cluster, id, start_ms, observed_at_ms)
) WITHOUT ROWID;

-- Each row stands until the next of its node.
CREATE TABLE node_cpus (
  cluster TEXT NOT NULL,
  node TEXT NOT NULL,
  observed_at_ms INTEGER NOT NULL,
  cpus INTEGER NOT NULL,
  PRIMARY KEY (cluster, node, observed_at_ms)
) WITHOUT ROWID;
