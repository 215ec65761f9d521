from env_zoo import other, url

__all__ = ["other", "url"]
