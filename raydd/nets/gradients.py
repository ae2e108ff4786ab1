# TEMPORARY stand-in of the integrator: helper C overwrites this file
from __future__ import annotations
import torch, torch.nn.functional as F

def dist(r, s, metric):
    t = 0.0
    for x, y in zip(r, s):
        x, y = x.flatten(1), y.flatten(1)
        if metric == "mse": t = t + (x - y).square().sum()
        elif metric == "l1": t = t + (x - y).abs().sum()
        elif metric == "l1_mean": t = t + (x - y).abs().mean(1).sum()
        else: t = t + (1 - (x * y).sum(1) / (x.norm(dim=1) * y.norm(dim=1) + 1e-6)).sum()
    return t

class GradientPasses:
    def __init__(self, compute, *, batch_real, size): pass
    def real(self, net, images, targets):
        net = __import__("copy").deepcopy(net).requires_grad_(True)
        w = [p for p in net.parameters() if p.ndim == 4]
        e = net.embed(images)
        g = torch.autograd.grad(F.cross_entropy(net.classifier(e), targets), w)
        return [x.detach() for x in g], e.mean(0).detach()
    def matched(self, net, images, targets, real, metric):
        net = __import__("copy").deepcopy(net).requires_grad_(True)
        w = [p for p in net.parameters() if p.ndim == 4]
        e = net.embed(images)
        g = torch.autograd.grad(F.cross_entropy(net.classifier(e), targets), w, create_graph=True)
        return dist(real, g, metric), e.mean(0)
