"""The core's evaluators; each reads predictions and needs no accelerator."""

# Who judges where nobody else is named: alone, and for a whole picture.
USUAL_JUDGE = "answer_correctness"
# As evaluations name it.
USUAL_JUDGE_FULL = f"tunix-core/{USUAL_JUDGE}"
USUAL_JUDGES = (USUAL_JUDGE, "show_your_work", "step_validity")
