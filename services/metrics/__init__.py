"""The metrics service: counts stock Envoys' requests from their access logs, and keeps the mesh's last hour."""
