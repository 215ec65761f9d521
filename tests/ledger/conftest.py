from ledger_support import ledger, plan, tamper, url

__all__ = ["ledger", "plan", "tamper", "url"]
