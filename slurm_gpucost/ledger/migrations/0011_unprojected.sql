-- What the projection fails at: left out with the reason, so that all else goes on. Its evidence stays where it is.

CREATE TABLE unprojected_job (
  cluster TEXT NOT NULL,
  job_id INTEGER NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (cluster, job_id)
) WITHOUT ROWID;

CREATE TABLE unprojected_node (
  cluster TEXT NOT NULL,
  node TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (cluster, node)
) WITHOUT ROWID;
