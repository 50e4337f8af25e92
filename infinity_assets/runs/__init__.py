"""The code behind `infinity run`, `infinity plan` and `infinity arena`."""
