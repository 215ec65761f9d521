from env_zoo import url

__all__ = ["url"]
