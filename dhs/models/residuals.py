"""What is left of a stamp when its host's smooth light is taken away, from the stamp alone.

Two models of the smooth light: the median of round rings, and the median along elliptical isophotes whose shape
comes from the stamp's own moments. An arc fills a part of its rings only and stays; a ring an arc fills by
more than half is lost with the light.
"""

from __future__ import annotations

import torch

from dhs.models.cpu_inference import median, sorted_in_groups
from dhs.stats import pixels

WEIGHT_SIGMA_PX = 4.0
MIN_AXIS_RATIO = 0.25
MOMENT_STEPS = 12


def radius_map(side: int, device: torch.device | str = "cpu") -> torch.Tensor:
    """(side, side) distance of every pixel from the stamp's centre, pixels."""
    return torch.tensor(pixels.radius_map(side), dtype=torch.float32, device=device)


def azimuthal_residual(images: torch.Tensor) -> torch.Tensor:
    """Images minus the azimuthal median of each ring one pixel wide, per sample and band.

    Same shape and units as ``images``. What a host's round light puts in every ring is gone.
    """
    ring = radius_map(images.shape[-1], images.device).long().flatten()
    flat = images.flatten(-2)
    out = torch.empty_like(flat)
    for index in range(int(ring.max()) + 1):
        pixels = (ring == index).nonzero()[:, 0]
        values = flat[..., pixels]
        out[..., pixels] = values - median(values)[..., None]
    return out.view_as(images)


def isophote_shape(light: torch.Tensor) -> torch.Tensor:
    """Shape of the isophotes: second moments under an elliptical Gaussian weight of the light's own shape.

    For light on concentric ellipses of one shape a weight of that shape, whatever its size, gives moments of that
    shape (Bernstein & Jarvis 2002, AJ 123, 583, section 3.1); the iteration looks for this fixed point. The size is
    kept at 4 pixels, 1.05 arcsec, outside most of the PSF's rounding. The centre is the stamp's.

    Parameters
    ----------
    light : Tensor, (n, y, x)
        Sky-subtracted; negative pixels count as they are.

    Returns
    -------
    Tensor, (n, 3)
        xx, yy, xy of the weight, pixels squared, with xx yy - xy^2 = 256. Where the light gives no positive moments
        the last shape that did stays; a dark stamp is round. Axis ratios below 0.25 become 0.25.
    """
    side, area = light.shape[-1], WEIGHT_SIGMA_PX**2
    offset = torch.arange(side, dtype=light.dtype, device=light.device) - (side - 1) / 2
    y, x = torch.meshgrid(offset, offset, indexing="ij")
    powers = torch.stack([torch.ones_like(x), x * x, y * y, x * y]).flatten(1)
    flat = light.flatten(1)
    moments = flat.new_tensor([area, area, 0.0]).expand(len(flat), 3)
    limit = (1 - MIN_AXIS_RATIO**2) / (1 + MIN_AXIS_RATIO**2)
    for _ in range(MOMENT_STEPS):
        xx, yy, xy = moments.unbind(-1)
        form = torch.stack([torch.zeros_like(xx), yy, xx, -2 * xy], -1) / area**2
        weight = torch.exp(-0.5 * (form @ powers))
        total, xx, yy, xy = ((flat * weight) @ powers.T).unbind(-1)
        mean, half = 0.5 * (xx + yy), 0.5 * (xx - yy)
        good = (total > 0) & (mean > 0)
        mean = torch.where(good, mean, 1.0)
        e1, e2 = half / mean, xy / mean
        shrink = limit / torch.hypot(e1, e2).clamp_min(limit)
        e1, e2 = shrink * e1, shrink * e2
        size = area / (1 - e1 * e1 - e2 * e2).sqrt()
        new = torch.stack([1 + e1, 1 - e1, e2], -1) * size[:, None]
        moments = torch.where(good[:, None], new, moments)
    return moments


def elliptical_radius(moments: torch.Tensor, side: int) -> torch.Tensor:
    """(n, side, side) radius on the intermediate axis of the ellipse through each pixel, pixels."""
    offset = torch.arange(side, dtype=moments.dtype, device=moments.device) - (side - 1) / 2
    y, x = torch.meshgrid(offset, offset, indexing="ij")
    xx, yy, xy = (m[:, None, None] for m in moments.unbind(-1))
    scale = (xx * yy - xy * xy).clamp_min(1e-12).sqrt()
    return ((yy * x * x - 2 * xy * x * y + xx * y * y) / scale).clamp_min(0).sqrt()


def elliptical_residual(images: torch.Tensor) -> torch.Tensor:
    """Images minus the medians along elliptical isophotes, per sample and band.

    One shape a stamp, `isophote_shape` of the sum of its bands; the isophotes are those ellipses at every
    radius. The median of each elliptical ring one pixel wide is the light at its middle, interpolated linearly in
    between. A host with a twist or a disc leaves the part of it that is not so.

    Parameters
    ----------
    images : Tensor, (n, bands, y, x)
        Normalised, in sky sigmas.
    """
    n, bands, side, _ = images.shape
    radius = elliptical_radius(isophote_shape(images.sum(1)), side).flatten(1)[:, None].expand(-1, bands, -1)
    radius = radius.clamp(max=2 * side - 1.01)
    ring, flat = radius.long(), images.flatten(-2)
    ordered = sorted_in_groups(flat, ring)
    counts = torch.zeros(n, bands, 2 * side, dtype=torch.long, device=images.device)
    counts.scatter_add_(-1, ring, torch.ones_like(ring))
    start = counts.cumsum(-1) - counts
    last = flat.shape[-1] - 1
    below = ordered.gather(-1, (start + (counts - 1).clamp_min(0) // 2).clamp(max=last))
    above = ordered.gather(-1, (start + counts // 2).clamp(max=last))
    medians = 0.5 * (below + above)
    own = medians.gather(-1, ring)
    offset = radius - ring - 0.5
    beside = (ring + offset.sign().long()).clamp(0, 2 * side - 1)
    other = torch.where(counts.gather(-1, beside) > 0, medians.gather(-1, beside), own)
    return (flat - torch.lerp(own, other, offset.abs())).view_as(images)
