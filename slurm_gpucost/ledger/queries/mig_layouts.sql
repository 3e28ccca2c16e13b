-- Every MIG layout that was seen: all rows of one parent and moment are its layout from then on.
SELECT parent, observed_at_ms, device, profile, gpu_instance, compute_instance, gpu_slices, compute_slices, slices_of, memory_mib
FROM mig_report
ORDER BY parent, observed_at_ms, device
