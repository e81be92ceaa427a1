"""Building blocks of the network: convolutions, C3, SPPF, ThrConvs, RepConv."""
