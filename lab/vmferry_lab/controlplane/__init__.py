"""A real Kubernetes control plane: etcd, API server, controller manager."""
