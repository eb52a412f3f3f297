#!/usr/bin/env python3
"""Run a PyTorch program that was written for the CPU on another device.

    python3 benches/peer_on_device.py cuda SCRIPT ARGUMENT…

Tensors and weights are made on that device, `torch.autocast` is its, whatever name the program gives it, and a step of the
optimiser ends when the device has done all that was asked of it, so that a program that times its steps times the device.
Needs torch.
"""
import runpy
import sys

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    device, script = sys.argv[1:3]
    torch.set_default_device(device)

    class Autocast(torch.autocast):
        def __init__(self, _device_type, *rest, **named):
            super().__init__(torch.device(device).type, *rest, **named)

    torch.autocast = Autocast
    module = torch.get_device_module(device)
    register_optimizer_step_post_hook(lambda *_: module.synchronize())
    sys.argv = sys.argv[2:]
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
