"""What of the config a pool's rates rest on, key by key as the file would say it: frozen with what is published."""

from __future__ import annotations

from slurm_gpucost.settings.catalogue import POOL, SKU
from slurm_gpucost.settings.model import Pool
from slurm_gpucost.settings.template import toml


def inputs_of(pool: Pool) -> dict[str, str]:
    """Key -> TOML text."""
    prefix = f"pools.{pool.name}"
    found = {
        f"{prefix}.{setting.key}": toml(getattr(pool, setting.key)) for setting in POOL if setting.key != "timezone"
    }
    found[f"{prefix}.timezone"] = toml(pool.timezone.key)
    found |= {f"{prefix}.yearly_costs.{name}": toml(amount) for name, amount in pool.yearly_costs}
    for sku in pool.skus:
        found |= {f"{prefix}.skus.{sku.name}.{setting.key}": toml(getattr(sku, setting.key)) for setting in SKU}
    return found
