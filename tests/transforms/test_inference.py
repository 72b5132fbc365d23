"""RunInference comes without torch, which Beam's model manager would import."""

import subprocess
import sys

LOADED = "import sys, avagent.transforms.{module}; print(sorted({{'torch', 'transformers'}} & set(sys.modules)))"


def test_the_decide_phase_loads_no_model_runtime_by_itself():
    for module in ("refine", "calibrate"):
        done = subprocess.run(
            [sys.executable, "-c", LOADED.format(module=module)], check=False, capture_output=True, text=True
        )
        assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_the_model_manager_can_still_be_imported_by_others():
    code = "import sys, avagent.transforms.refine; print('apache_beam.ml.inference.model_manager' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
