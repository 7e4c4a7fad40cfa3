#!/usr/bin/env bash
# Draws the pictures of the README, the gallery and RESULTS.md from the runs that RESULTS.md lists (trained into runs/).
set -euo pipefail
cd "$(dirname "$0")/.."
ancestral draw manifold runs/uva2020-manifold --count 12 --out docs/pictures/manifold.png
ancestral draw components runs/uva2018-mixture --out docs/pictures/components.png
ancestral draw samples runs/best-vae --out docs/pictures/samples.png
ancestral draw steps runs/pixelcnn --count 6 --out docs/pictures/steps.png
ancestral draw density runs/flow-moons --count 80 --out docs/pictures/density.png
(cd runs && ancestral quality mixture belief-net vae made pixelcnn flow gan-mlp gan-cnn --count 500 --picture ../docs/pictures/families.png)
ancestral complete runs/pixelcnn --out docs/pictures/completions.png
ancestral detect runs/made-500 --against frankenstein --out docs/pictures/detection.png
(cd runs && ancestral complete mixture belief-net helmholtz VAE MADE PixelCNN flow GAN --out ../docs/pictures/completions-families.png)
(cd runs && ancestral detect mixture belief-net helmholtz VAE MADE PixelCNN flow flow-variational --against frankenstein --out ../docs/pictures/power.png)
ancestral draw surprise runs/made-500 --out docs/pictures/surprise.png
OMP_NUM_THREADS=1 python - <<'PYTHON'
from ancestral.figures.style import save_figure
from ancestral.studies.demonstrations.belief_net_cost import GRIDS, cost_figure, measure_all

save_figure(cost_figure(measure_all(GRIDS, at=10, rounds=3, most_naive=12)), "docs/pictures/belief-net-cost.png")
PYTHON
ancestral study tour --out demo && python docs/explorer_film.py demo/explorer.html docs/pictures/explorer.webp
# Pictures of curves need few colours: a palette keeps them small.
python - <<'PYTHON'
from PIL import Image

for name in ("detection", "power", "belief-net-cost"):
    path = f"docs/pictures/{name}.png"
    Image.open(path).convert("RGB").quantize(128).save(path, optimize=True)
PYTHON
