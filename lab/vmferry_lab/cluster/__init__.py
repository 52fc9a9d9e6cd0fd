"""A real cluster: kubelet and containerd on each of the lab's nodes, and vmferry in pods of the shipped images."""
