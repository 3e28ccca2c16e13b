-- The devices that the driver ever listed: GPUs, with the device that a MIG instance is a part of.
SELECT DISTINCT device, NULL AS parent FROM device_report
UNION
SELECT DISTINCT device, parent FROM mig_report WHERE device <> ''
ORDER BY 1
