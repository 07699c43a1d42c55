"""Write what is predicted for every measured step and pass and every report anew: ``python -m llmcalc.accuracy``."""

from __future__ import annotations

from llmcalc.accuracy.compare import as_kept, key_of_step, predict
from llmcalc.accuracy.inference import measured_inference, predict_peaks
from llmcalc.accuracy.kept import PASSES, REPORTS, STEPS, keep
from llmcalc.accuracy.reports import reports
from llmcalc.accuracy.rows import measured_steps

if __name__ == "__main__":
    keep(STEPS, ((key_of_step(row), as_kept(predict(row))) for row in measured_steps()))
    keep(PASSES, ((row.key, predict_peaks(row)) for row in measured_inference()))
    keep(REPORTS, ((report.key, report.predict()) for report in reports()))
