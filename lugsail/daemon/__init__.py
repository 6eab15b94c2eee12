"""What the control plane and the services share as processes: listening, logging, ending."""
