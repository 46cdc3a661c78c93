"""The code of each credit method, one file each. To add one, write its file and register it here."""

from collections.abc import Mapping

from backend.core.methods import MethodName
from worker.engine.methods import (
    cepo,
    good_prefix,
    grpo,
    grpo_opsd,
    opd,
    opsd,
    rlcsd,
    rlsd,
    rlsd_template,
    sc_grpo,
    sdpo,
)
from worker.engine.methods.base import CreditFunction

METHODS: Mapping[MethodName, CreditFunction] = {
    MethodName.RLSD: rlsd.credit,
    MethodName.GRPO: grpo.credit,
    MethodName.RLSD_TEMPLATE: rlsd_template.credit,
    MethodName.CEPO: cepo.credit,
    MethodName.RLCSD: rlcsd.credit,
    MethodName.OPSD: opsd.credit,
    MethodName.SDPO: sdpo.credit,
    MethodName.GRPO_OPSD: grpo_opsd.credit,
    MethodName.OPD: opd.credit,
    MethodName.GOOD_PREFIX: good_prefix.credit,
    MethodName.SC_GRPO: sc_grpo.credit,
}
