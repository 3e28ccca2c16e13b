-- Every kind of GPU that leases or slots name: what the config's SKUs must cover.
SELECT DISTINCT gres_name, gres_type, nullif(model, '') AS model, share_den = 0 AND gres_name = 'shard' AS shards_unknown
FROM holder
WHERE EXISTS (SELECT 1 FROM lease_row l WHERE l.holder = holder.holder)
UNION
SELECT DISTINCT s.gres_name, s.gres_type, d.model, 0
FROM slot_report s LEFT JOIN device d ON d.device = s.device
ORDER BY 1, 2, 3
