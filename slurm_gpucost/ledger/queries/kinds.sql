-- Every kind of GPU that leases or slots name: what the config's SKUs must cover.
SELECT DISTINCT l.gres_name, l.gres_type, d.model, l.share_den = 0 AND l.gres_name = 'shard' AS shards_unknown
FROM lease l LEFT JOIN device d ON d.device = l.device
UNION
SELECT DISTINCT s.gres_name, s.gres_type, d.model, 0
FROM slot_report s LEFT JOIN device d ON d.device = s.device
ORDER BY 1, 2, 3
