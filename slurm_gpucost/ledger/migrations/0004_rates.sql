-- What was published, and who changed what: both stand as they were written.

-- One row a change. hash is blake2b-128 over the hash of the row before it and this row's other columns.
CREATE TABLE change_log (
  seq INTEGER PRIMARY KEY,
  at_ms INTEGER NOT NULL,
  login TEXT NOT NULL,
  uid INTEGER NOT NULL,
  host TEXT NOT NULL,
  terminal TEXT NOT NULL,
  subject TEXT NOT NULL,
  what TEXT NOT NULL,
  why TEXT NOT NULL,
  hash BLOB NOT NULL
);

CREATE TRIGGER change_log_is_not_edited BEFORE UPDATE ON change_log BEGIN
  SELECT RAISE(ABORT, 'the log of changes is append-only');
END;

CREATE TRIGGER change_log_is_not_cut BEFORE DELETE ON change_log BEGIN
  SELECT RAISE(ABORT, 'the log of changes is append-only');
END;

-- The price of a SKU from a moment on, until the next one of that pool. Amounts are decimal text, rate_exact is n/d.
CREATE TABLE rate (
  pool TEXT NOT NULL,
  effective_ms INTEGER NOT NULL,
  sku TEXT NOT NULL,
  version INTEGER NOT NULL,
  unit_price TEXT NOT NULL,
  currency TEXT NOT NULL,
  rate_exact TEXT NOT NULL,
  derivation TEXT NOT NULL,
  seq INTEGER NOT NULL REFERENCES change_log (seq),
  PRIMARY KEY (pool, effective_ms, sku)
) WITHOUT ROWID;

CREATE TRIGGER rate_is_not_edited BEFORE UPDATE ON rate BEGIN
  SELECT RAISE(ABORT, 'published rates stand');
END;

CREATE TRIGGER rate_is_not_cut BEFORE DELETE ON rate BEGIN
  SELECT RAISE(ABORT, 'published rates stand');
END;
