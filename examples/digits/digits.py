"""The handwritten digits that scikit-learn ships: 1,797 images of 8x8 pixels, cut into train, valid and test."""

import numpy as np
from sklearn.datasets import load_digits

from mlcore_emloop_compat import ArrayStream, BaseDataset

SPLIT = {"train": slice(0, 1257), "valid": slice(1257, 1527), "test": slice(1527, None)}


class Digits(BaseDataset):
    """Streams of `images` (n, 8, 8) in [0, 1] and `labels` (n,) from 0 to 9."""

    def _configure_dataset(self, output_dir, batch_size, seed):
        images, labels = load_digits(return_X_y=True)
        order = np.random.default_rng(seed).permutation(len(images))
        sources = {"images": images[order].reshape(-1, 8, 8) / 16, "labels": labels[order]}
        self._streams = {}
        for name, part in SPLIT.items():
            cut = {source: values[part] for source, values in sources.items()}
            self._streams[name] = ArrayStream(cut, batch_size, shuffle=name == "train", seed=seed)
        self.num_batches = {name: len(stream) for name, stream in self._streams.items()}

    def train_stream(self):
        return self._streams["train"]

    def valid_stream(self):
        return self._streams["valid"]

    def test_stream(self):
        return self._streams["test"]
