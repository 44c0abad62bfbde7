// Everything the console says. The key is the English text.

const chinese = {
  "Sign in": "登录",
  "Token": "令牌",
  "Sign out": "退出",
  "The token of an admin. bcs server keeps the first one in the file admin-token of its data directory.": "管理员令牌。bcs server 将首个令牌保存在数据目录的 admin-token 文件中。",
  "The token is not one of an admin.": "该令牌不是管理员令牌。",
  "You were signed out: the token is not valid any more.": "令牌已失效，请重新登录。",
  "Language": "语言",
  "Services": "服务",
  "Clusters": "集群",
  "Resources": "资源",
  "Events": "事件",
  "Users": "用户",
  "Health checks": "健康检查",
  "API": "接口",
  "Service": "服务",
  "Address": "地址",
  "Metrics": "指标",
  "State": "状态",
  "Certificate until": "证书有效期至",
  "ready": "就绪",
  "not ready": "未就绪",
  "does not answer": "无响应",
  "no TLS": "无 TLS",
  "Version": "版本",
  "What runs here, and how it is. Looked at again every five seconds.": "当前运行的服务及其状态，每五秒刷新一次。",
  "The clusters that are registered, and how they are reached.": "已注册的集群及其连接方式。",
  "Cluster": "集群",
  "Engine": "引擎",
  "Provider": "提供方",
  "Region": "地域",
  "Environment": "环境",
  "Tunnel": "隧道",
  "Tunnels": "隧道",
  "connected": "已连接",
  "Connected since": "连接时间",
  "Round trip": "往返时延",
  "Connections": "连接数",
  "Sent": "已发送",
  "Received": "已接收",
  "No agent is connected.": "没有已连接的代理。",
  "Credentials": "凭据",
  "Kind": "类型",
  "Namespace": "命名空间",
  "Name": "名称",
  "Updated": "更新时间",
  "Filter": "过滤",
  "Show": "显示",
  "Every change of the cluster's resources as it happens.": "实时显示集群资源的每次变化。",
  "live": "实时",
  "connecting": "连接中",
  "disconnected, trying again": "连接已断开，正在重试",
  "Nothing here.": "暂无数据。",
  "Choose a cluster and a kind.": "请选择集群与类型。",
  "Choose a cluster.": "请选择集群。",
  "Close": "关闭",
  "Copy": "复制",
  "Copied": "已复制",
  "Time": "时间",
  "Level": "级别",
  "Component": "组件",
  "Type": "类型",
  "Description": "描述",
  "The latest events that clusters reported.": "集群上报的最新事件。",
  "All clusters": "全部集群",
  "User": "用户",
  "User type": "用户类型",
  "Look up": "查询",
  "Create": "创建",
  "New token": "刷新令牌",
  "Created": "创建时间",
  "Expires": "过期时间",
  "Show the token": "显示令牌",
  "Permissions": "权限",
  "Resource type": "资源类型",
  "Resource": "资源",
  "Role": "角色",
  "Grant": "授权",
  "Revoke": "撤销",
  "Users, their tokens and what they may do.": "用户、令牌及其权限。",
  "Results of the checks of Mesos tasks, as the cluster's watcher reported them.": "集群监听组件上报的 Mesos 任务检查结果。",
  "Task group": "任务组",
  "Container": "容器",
  "Check": "检查",
  "healthy": "健康",
  "unhealthy": "不健康",
  "The routes of the services, as their routers list them.": "各服务的全部接口。",
  "Method": "方法",
  "Path": "路径",
  "Connection": "连接方式",
  "Domain": "域名",
  "Addresses": "地址",
  "Provider": "提供方",
  "Environment": "环境",
  "Status": "状态",
  "Keys": "快捷键",
  "the pages": "切换页面",
  "the filter": "过滤框",
  "the next and the previous row": "下一行、上一行",
  "the row as JSON": "查看该行 JSON",
  "close": "关闭",
  "this list": "显示本列表",
  "rows": "行",
  "No answer: %s": "无响应：%s",
};

export const languages = { en: "English", zh: "中文" };

let language = "en";

/** The language of the page from now on. */
export function setLanguage(name) {
  language = name in languages ? name : "en";
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
}

/** The language now. */
export function currentLanguage() {
  return language;
}

/** A text in the language; %s is replaced by the value. */
export function t(text, value = "") {
  const found = language === "zh" ? (chinese[text] ?? text) : text;
  return found.replace("%s", () => value);
}
