"""A real cluster: the lab's nodes with containerd and a kubelet on each, and vmferry in pods of the shipped images."""
