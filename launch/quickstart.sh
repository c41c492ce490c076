#!/usr/bin/env bash
# From nothing to the report: sets up once, then runs the main job. Further arguments go to `polyphony run`,
# e.g. bash launch/quickstart.sh seeds=[0,1] name=two-seeds. The same command again goes on where it stopped.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
setup ""
exec polyphony run experiment=quickstart "$@"
