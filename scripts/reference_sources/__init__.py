"""Where the embedded surfaces come from: pinned packages of data, and what is made of them."""
