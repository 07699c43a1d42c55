"""Write what is predicted for every measured step and every report anew: ``python -m llmcalc.accuracy``."""

from __future__ import annotations

from llmcalc.accuracy.compare import as_kept, key_of_step, predict
from llmcalc.accuracy.kept import REPORTS, STEPS, keep
from llmcalc.accuracy.reports import reports
from llmcalc.accuracy.rows import measured_steps

if __name__ == "__main__":
    keep(STEPS, ((key_of_step(row), as_kept(predict(row))) for row in measured_steps()))
    keep(REPORTS, ((report.key, report.predict()) for report in reports()))
