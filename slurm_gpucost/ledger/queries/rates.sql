-- Every published price of a GPU-hour, with who published it, when and why.
SELECT r.pool, r.effective_ms, r.sku, r.version, r.unit_price, r.currency, r.rate_exact, r.derivation, r.seq,
  c.at_ms, c.login, c.uid, c.host, c.terminal, c.why
FROM rate r JOIN change_log c ON c.seq = r.seq
ORDER BY r.pool, r.effective_ms, r.sku
