from ledger_support import ledger, plan, tamper, target_url, url

__all__ = ["ledger", "plan", "tamper", "target_url", "url"]
