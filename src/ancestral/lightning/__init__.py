"""Training with Lightning's Trainer (needs the extra `lightning`).

    module = LightningGenerative(model, training=TrainingSettings(learning_rate=1e-3))
    data = GenerativeData("digits", batch_size=128)
    Trainer(max_epochs=20, callbacks=[RunFolder("runs/first", data)]).fit(module, data)

The objectives, the order of the data and the random numbers of each step are those of `ancestral.fit`.
"""

from ancestral.lightning.callback import RunFolder
from ancestral.lightning.data import GenerativeData
from ancestral.lightning.module import LightningGenerative

__all__ = ["GenerativeData", "LightningGenerative", "RunFolder"]
