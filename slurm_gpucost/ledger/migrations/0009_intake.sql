-- What the collector must know to let a node write of itself alone.

-- Which nodes have told of a device, in the order in which they first did: the first one's word stands while it lasts.
CREATE TABLE device_claim (
  device TEXT NOT NULL,
  cluster TEXT NOT NULL,
  node TEXT NOT NULL,
  journal TEXT NOT NULL,
  first_ms INTEGER NOT NULL,
  last_ms INTEGER NOT NULL,
  PRIMARY KEY (device, cluster, node)
) WITHOUT ROWID;

-- How much of what a node sent lies in set_aside, and how much is counted only.
CREATE TABLE node_refusal (
  cluster TEXT NOT NULL,
  node TEXT NOT NULL,
  kept INTEGER NOT NULL,
  kept_bytes INTEGER NOT NULL,
  beyond INTEGER NOT NULL,
  PRIMARY KEY (cluster, node)
) WITHOUT ROWID;
