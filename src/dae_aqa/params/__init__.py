"""Parameters: the schema of `params.yaml` and the check of the whole file."""

from dae_aqa.params.schema import PARAMS_FILE as PARAMS_FILE
from dae_aqa.params.schema import Params as Params
from dae_aqa.params.schema import load_params as load_params
